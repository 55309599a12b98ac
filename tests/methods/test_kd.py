from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.kd import KDLoss
from ssld.outputs import DISTILLATION_LOGITS, Outputs


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_value_and_gradient_equal_the_formulas_on_random_logits(loss_of, oracle, logits, temperature):
    losses = oracle("losses")
    value, slope, _ = loss_of(KDLoss(temperature), *logits)
    expected = losses.kd_gradient(*logits, temperature)
    assert value == pytest.approx(losses.kd(*logits, temperature), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [60, 120])
def test_a_confidently_wrong_student_still_gets_the_whole_gradient(loss_of, gap):
    value, slope, _ = loss_of(KDLoss(), [[gap, 0, 0]], [[0, gap, 0]])
    assert value == pytest.approx(gap, rel=2e-5)
    np.testing.assert_allclose(slope, [[1, -1, 0]], atol=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_perfect_student_has_no_loss_and_no_gradient(loss_of, logits, temperature):
    value, slope, _ = loss_of(KDLoss(temperature), logits[0], logits[0] + 3.0)
    assert abs(value) < 1e-5 and np.abs(slope).max() < 1e-6
    assert KDLoss(temperature).minimum(None, {}) is None


def test_it_is_the_soft_cross_entropy_less_the_entropy_of_the_teacher(loss_of, oracle, logits):
    log_q = oracle("losses").log_softmax(logits[1])
    cross_entropy = oracle("losses").cross_entropy(logits[0], np.exp(log_q))
    assert loss_of(KDLoss(), *logits)[0] == pytest.approx(cross_entropy + (np.exp(log_q) * log_q).sum(-1).mean(), rel=2e-5)


def test_t_squared_keeps_the_gradient_when_the_temperature_is_high(loss_of, logits):
    """For T -> oo the gradient is that of the squared distance of centred logits: (z_s - z_t) / C / B."""
    centred = [z - z.mean(-1, keepdims=True) for z in logits]
    slope = loss_of(KDLoss(1000.0), *logits)[1]
    expected = (centred[0] - centred[1]) / logits[0].size
    np.testing.assert_allclose(slope, expected, atol=0.02 * np.abs(expected).max())


def test_a_constant_added_to_each_row_changes_nothing(loss_of, logits):
    shift = np.linspace(-30, 30, 16)[:, None]
    assert loss_of(KDLoss(2.0), logits[0] + shift, logits[1] - shift)[0] == pytest.approx(
        loss_of(KDLoss(2.0), *logits)[0], rel=2e-5)


def test_the_order_of_the_batch_does_not_matter(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    assert loss_of(KDLoss(), logits[0][order], logits[1][order])[0] == pytest.approx(loss_of(KDLoss(), *logits)[0], rel=1e-6)


def test_the_teacher_gets_no_gradient(loss_of, logits):
    assert loss_of(KDLoss(), *logits)[2] is None


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(loss_of, temperature):
    value, slope, _ = loss_of(KDLoss(temperature), [[60000, 0, -60000]], [[-60000, 0, 60000]], dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_it_needs_probabilities_only():
    assert KDLoss().needs == {"probabilities"}


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), "4"])
def test_a_temperature_that_is_no_number_above_0_is_refused(temperature):
    with pytest.raises(InputError, match="temperature"):
        KDLoss(temperature)


def test_the_distillation_head_learns_from_the_teacher_and_the_class_head_does_not(loss_of, logits):
    z_s, z_t = logits
    heads = [paddle.to_tensor(z, "float32", stop_gradient=False) for z in (z_s[::-1].copy(), z_s)]
    student = Outputs(heads[0], aux={DISTILLATION_LOGITS: heads[1]})
    loss = KDLoss(2.0, head="distillation")(student, Outputs(paddle.to_tensor(z_t, "float32")), {})
    loss.backward()
    value, slope, _ = loss_of(KDLoss(2.0), z_s, z_t)
    assert float(loss) == pytest.approx(value, rel=1e-6) and heads[0].grad is None
    np.testing.assert_allclose(heads[1].grad.numpy(), slope, atol=1e-6)


@pytest.mark.parametrize("aux", [None, {"loss": 1}])
def test_a_student_without_a_distillation_head_is_refused(aux):
    z = paddle.zeros([2, 3])
    with pytest.raises(InputError, match="needs a student with a second head, such as DeiT_tiny_conv_stem"):
        KDLoss(head="distillation")(Outputs(z, aux=aux), Outputs(z), {})


def test_an_unknown_head_is_refused():
    with pytest.raises(InputError, match="head cannot be 'distilation'. Did you mean 'distillation'"):
        KDLoss(head="distilation")
