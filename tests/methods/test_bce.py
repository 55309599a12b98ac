from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.bce import BCELoss
from ssld.outputs import Outputs

LABEL = np.arange(16) % 10
PARTNER, SHARE = np.arange(16)[::-1].copy(), np.linspace(0, 1, 16).astype(np.float32)


def mixed_loss(method, z):
    """(loss, gradient) on a batch whose images were mixed."""
    student = paddle.to_tensor(z.astype(np.float32), stop_gradient=False)
    batch = {"label": paddle.to_tensor(LABEL), "partner": paddle.to_tensor(PARTNER), "share": paddle.to_tensor(SHARE)}
    loss = method(Outputs(student), None, batch)
    loss.backward()
    return float(loss), student.grad.numpy()


def agrees(value, slope, z, target, losses):
    expected = losses.bce_gradient(z, target)
    assert value == pytest.approx(losses.bce(z, target), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 1.0])
def test_value_and_gradient_equal_the_formulas_on_random_logits(loss_of, oracle, logits, epsilon):
    losses = oracle("losses")
    value, slope, _ = loss_of(BCELoss(epsilon), logits[0], label=LABEL)
    agrees(value, slope, logits[0], losses.smoothed(LABEL, 10, epsilon), losses)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_of_mixed_images_both_smoothed_labels_count_by_their_shares(oracle, logits, epsilon):
    losses = oracle("losses")
    whole = losses.smoothed(LABEL, 10, epsilon)
    target = SHARE[:, None] * whole + (1 - SHARE[:, None]) * whole[PARTNER]
    agrees(*mixed_loss(BCELoss(epsilon), logits[0]), logits[0], target, losses)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5])
def test_above_a_threshold_a_target_counts_in_full_and_below_not_at_all(oracle, logits, threshold):
    losses = oracle("losses")
    whole = losses.smoothed(LABEL, 10, 0.1)
    target = SHARE.astype(np.float64)[:, None] * whole + (1 - SHARE[:, None]) * whole[PARTNER]
    assert np.abs(target - threshold).min() > 1e-4
    agrees(*mixed_loss(BCELoss(0.1, threshold), logits[0]), logits[0], (target > threshold).astype(float), losses)


def test_the_gradient_is_that_of_a_mean_over_classes(loss_of):
    """At logits of 0 it is (1/2 - y) / (B C), whatever the number of classes."""
    for classes in (2, 1000):
        _, slope, _ = loss_of(BCELoss(), np.zeros((4, classes)), label=[0, 1, 0, 1])
        np.testing.assert_allclose(slope, (0.5 - np.eye(classes)[[0, 1, 0, 1]]) / (4 * classes), rtol=1e-6)


@pytest.mark.parametrize("gap", [60.0, 3e4])
def test_confident_logits_give_a_finite_loss_and_the_whole_gradient(loss_of, gap):
    for dtype in ("float32", "float16"):
        value, slope, _ = loss_of(BCELoss(), [[gap, -gap]], label=[1], dtype=dtype)
        assert value == pytest.approx(gap, rel=1e-3)
        np.testing.assert_allclose(slope, [[0.5, -0.5]], atol=1e-3)


def test_a_certain_and_right_student_has_no_loss(loss_of):
    assert loss_of(BCELoss(), 100 * np.eye(10)[LABEL] - 50, label=LABEL)[0] == pytest.approx(0, abs=1e-6)


def test_the_order_of_the_batch_does_not_matter(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    assert loss_of(BCELoss(0.1), logits[0][order], label=LABEL[order])[0] == pytest.approx(
        loss_of(BCELoss(0.1), logits[0], label=LABEL)[0], rel=1e-6)


def test_it_needs_labels_and_no_teacher():
    assert BCELoss().needs == {"label"}


@pytest.mark.parametrize("options", [{"epsilon": -0.1}, {"epsilon": 1.5}, {"threshold": 2}, {"threshold": "x"}])
def test_an_option_outside_0_to_1_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        BCELoss(**options)


@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_the_sum_over_classes_is_as_many_times_the_mean(loss_of, logits, epsilon):
    mean, slope, _ = loss_of(BCELoss(epsilon), logits[0], label=LABEL)
    total, steep, _ = loss_of(BCELoss(epsilon, reduction="sum"), logits[0], label=LABEL)
    assert total == pytest.approx(10 * mean, rel=1e-6)
    np.testing.assert_allclose(steep, 10 * slope, rtol=1e-5, atol=1e-9)
