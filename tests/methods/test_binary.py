from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.methods.bce import BCELoss
from ssld.methods.binary import binary_cross_entropy
from ssld.methods.bkd import BKDLoss
from ssld.methods.meal_v2 import MEALV2Discriminator
from ssld.outputs import Outputs

LOGITS = np.array([[0.0, 0.0, 0.0, 1e-6], [-0.3, 2.0, 15.0, -25.0], [0.0, -3.0, 0.5, 0.0]])
TARGET = np.array([[0.0, 0.3, 1.0, 0.5], [0.1, 1.0, 0.9, 0.2], [1.0, 0.0, 0.7, 0.25]])


def in_numpy(z, y):
    return np.mean(np.logaddexp(0, z) - z * y)


def finite_differences(z, y, step=1e-5):
    slope = np.zeros_like(z)
    for place in np.ndindex(*z.shape):
        moved = [z.copy(), z.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        slope[place] = (in_numpy(moved[0], y) - in_numpy(moved[1], y)) / (2 * step)
    return slope


def test_value_and_gradient_are_those_of_finite_differences_also_at_0():
    z = paddle.to_tensor(LOGITS.astype(np.float32), stop_gradient=False)
    loss = binary_cross_entropy(z, paddle.to_tensor(TARGET.astype(np.float32)))
    loss.backward()
    assert float(loss) == pytest.approx(in_numpy(LOGITS, TARGET), rel=1e-6)
    np.testing.assert_allclose(z.grad.numpy(), finite_differences(LOGITS, TARGET), atol=1e-6)


@pytest.mark.parametrize("method, target", [
    (BCELoss(), [[1.0, 0.0], [0.0, 1.0]]),
    (BKDLoss(), [[0.75, 0.25], [0.5, 0.5]])])
def test_a_student_that_begins_at_0_descends_as_finite_differences_say(method, target):
    z = paddle.zeros([2, 2])
    z.stop_gradient = False
    teacher = Outputs(paddle.to_tensor(np.log(np.float32([[0.75, 0.25], [0.5, 0.5]]))))
    method(Outputs(z), teacher, {"label": paddle.to_tensor([0, 1])}).backward()
    np.testing.assert_allclose(z.grad.numpy(), finite_differences(np.zeros((2, 2)), np.array(target)), atol=1e-6)


def test_a_discriminator_whose_scores_are_0_learns_from_them():
    """Its last ReLU passes nothing at 0, so without it the scores themselves are looked at."""
    method = MEALV2Discriminator(4)
    method.discriminator = paddle.nn.Linear(4, 2)
    for parameter in method.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    method(Outputs(paddle.randn([3, 4])), Outputs(paddle.randn([3, 4])), {}).backward()
    whose = np.repeat(np.eye(2), 3, axis=0)
    np.testing.assert_allclose(method.discriminator.bias.grad.numpy(), finite_differences(np.zeros((6, 2)), whose).sum(0),
                               atol=1e-6)


def test_half_precision_is_computed_in_float32():
    z = paddle.to_tensor([[6e4, -6e4]], "float16")
    assert float(binary_cross_entropy(z, paddle.to_tensor([[0.0, 1.0]]))) == pytest.approx(6e4, rel=1e-3)
