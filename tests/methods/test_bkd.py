from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.methods.bkd import BKDLoss
from ssld.outputs import Outputs


def test_value_and_gradient_equal_the_formula_on_random_logits(loss_of, oracle, logits):
    losses = oracle("losses")
    value, slope, _ = loss_of(BKDLoss(), *logits)
    expected, = losses.slopes(lambda z: losses.bkd(z, logits[1]), logits[0])
    assert value == pytest.approx(losses.bkd(*logits), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


def test_the_gradient_is_the_gap_of_the_probabilities_divided_by_images_and_classes(loss_of, oracle, logits):
    q = np.exp(oracle("losses").log_softmax(logits[1]))
    expected = (1 / (1 + np.exp(-logits[0])) - q) / q.size
    np.testing.assert_allclose(loss_of(BKDLoss(), *logits)[1], expected, atol=1e-4 * np.abs(expected).max())


def test_a_student_with_the_teachers_probabilities_reads_the_minimum_and_has_no_gradient(loss_of, oracle, logits):
    q = np.exp(oracle("losses").log_softmax(logits[1] / 4))
    value, slope, _ = loss_of(BKDLoss(), np.log(q / (1 - q)), logits[1] / 4)
    least = float(BKDLoss().minimum(Outputs(paddle.to_tensor(logits[1] / 4)), {}))
    assert value == pytest.approx(least, rel=2e-5) and np.abs(slope).max() < 1e-7
    assert least < loss_of(BKDLoss(), *logits)[0]


def test_a_logit_of_0_has_its_gradient_too(loss_of):
    np.testing.assert_allclose(loss_of(BKDLoss(), [[0, 0]], [[np.log(3), 0]])[1], [[-0.125, 0.125]], rtol=1e-6)


@pytest.mark.parametrize("gap", [200, 60000])
def test_confident_logits_give_a_finite_loss_and_the_whole_gradient(loss_of, gap):
    value, slope, _ = loss_of(BKDLoss(), [[gap, -gap, -gap]], [[-gap, gap, -gap]], dtype="float16")
    assert value == pytest.approx(2 * gap / 3, rel=1e-3)
    np.testing.assert_allclose(slope, [[1 / 3, -1 / 3, 0]], rtol=1e-3)
    assert np.isfinite(float(BKDLoss().minimum(Outputs(paddle.to_tensor([[-gap, gap, -gap]], "float16")), {})))


def test_the_order_of_the_batch_does_not_matter_and_the_teacher_gets_no_gradient(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    value, _, of_teacher = loss_of(BKDLoss(), logits[0][order], logits[1][order])
    assert value == pytest.approx(loss_of(BKDLoss(), *logits)[0], rel=1e-6) and of_teacher is None


def test_it_needs_probabilities_only():
    assert BKDLoss().needs == {"probabilities"}
