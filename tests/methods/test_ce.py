from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.ce import CELoss
from ssld.outputs import Outputs

LABEL = np.arange(16) % 10


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_value_and_gradient_equal_the_formulas_on_random_logits(loss_of, oracle, logits, epsilon):
    losses = oracle("losses")
    target = losses.smoothed(LABEL, 10, epsilon)
    value, slope, _ = loss_of(CELoss(epsilon), logits[0], label=LABEL)
    expected = losses.cross_entropy_gradient(logits[0], target)
    assert value == pytest.approx(losses.cross_entropy(logits[0], target), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [60, 120])
def test_a_confidently_wrong_student_still_gets_the_whole_gradient(loss_of, gap):
    value, slope, _ = loss_of(CELoss(), [[gap, 0, 0]], label=[1])
    assert value == pytest.approx(gap, rel=2e-5)
    np.testing.assert_allclose(slope, [[1, -1, 0]], atol=1e-6)


def test_a_certain_and_right_student_has_no_loss(loss_of):
    assert loss_of(CELoss(), 50 * np.eye(10)[LABEL], label=LABEL)[0] == pytest.approx(0, abs=1e-6)


def test_a_constant_added_to_each_row_changes_nothing(loss_of, logits):
    shift = np.linspace(-30, 30, 16)[:, None]
    assert loss_of(CELoss(0.1), logits[0] + shift, label=LABEL)[0] == pytest.approx(
        loss_of(CELoss(0.1), logits[0], label=LABEL)[0], rel=2e-5)


def test_the_order_of_the_batch_does_not_matter(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    assert loss_of(CELoss(), logits[0][order], label=LABEL[order])[0] == pytest.approx(
        loss_of(CELoss(), logits[0], label=LABEL)[0], rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_of_mixed_images_both_labels_count_by_their_shares(oracle, logits, epsilon):
    partner, share = np.random.default_rng(0).permutation(16), np.linspace(0, 1, 16).astype(np.float32)
    whole = oracle("losses").smoothed(LABEL, 10, epsilon)
    target = share[:, None] * whole + (1 - share[:, None]) * whole[partner]
    student = paddle.to_tensor(logits[0].astype(np.float32), stop_gradient=False)
    batch = {"label": paddle.to_tensor(LABEL), "partner": paddle.to_tensor(partner), "share": paddle.to_tensor(share)}
    loss = CELoss(epsilon)(Outputs(student), None, batch)
    loss.backward()
    expected = oracle("losses").cross_entropy_gradient(logits[0], target)
    assert float(loss) == pytest.approx(oracle("losses").cross_entropy(logits[0], target), rel=2e-5)
    np.testing.assert_allclose(student.grad.numpy(), expected, atol=1e-4 * np.abs(expected).max())


def test_float16_logits_give_a_finite_loss(loss_of):
    value, slope, _ = loss_of(CELoss(0.1), [[60000, 0, -60000]], label=[2], dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_it_needs_labels_and_no_teacher():
    assert CELoss().needs == {"label"}


@pytest.mark.parametrize("epsilon", [-0.1, 1.5, "a little", float("nan")])
def test_a_smoothing_outside_0_to_1_is_refused(epsilon):
    with pytest.raises(InputError, match="epsilon"):
        CELoss(epsilon)
