from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.soft_ce import SoftCELoss
from ssld.outputs import Outputs

VECTORS = [([1, 2, 3], [3, 2, 1], 1.982816), ([0, 0, 0, 0], [4, 0, 0, 0], 1.386294),
           ([10, 0, 0], [0, 10, 0], 9.999637), ([30, 0, 0], [0, 30, 0], 30.000)]


@pytest.mark.parametrize("z_s, z_t, expected", VECTORS)
def test_it_equals_the_worked_examples(loss_of, z_s, z_t, expected):
    assert loss_of(SoftCELoss(), [z_s], [z_t])[0] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("temperature, teacher_temperature", [(1.0, 1.0), (2.0, 1.0), (1.0, 0.25), (4.0, 4.0)])
def test_value_and_gradient_equal_the_formulas_on_random_logits(loss_of, oracle, logits, temperature, teacher_temperature):
    losses = oracle("losses")
    z_s, q = logits[0] / temperature, np.exp(losses.log_softmax(logits[1] / teacher_temperature))
    value, slope, _ = loss_of(SoftCELoss(temperature, teacher_temperature), *logits)
    expected = losses.cross_entropy_gradient(z_s, q) / temperature
    assert value == pytest.approx(losses.cross_entropy(z_s, q), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [60, 120])
def test_a_confidently_wrong_student_still_gets_the_whole_gradient(loss_of, gap):
    np.testing.assert_allclose(loss_of(SoftCELoss(), [[gap, 0, 0]], [[0, gap, 0]])[1], [[1, -1, 0]], atol=1e-6)


def test_a_perfect_student_has_the_entropy_of_the_teacher_as_loss_and_no_gradient(loss_of, oracle, logits):
    log_q = oracle("losses").log_softmax(logits[1])
    value, slope, _ = loss_of(SoftCELoss(), logits[1] - 3.0, logits[1])
    assert value == pytest.approx(-(np.exp(log_q) * log_q).sum(-1).mean(), rel=2e-5)
    assert np.abs(slope).max() < 1e-6


@pytest.mark.parametrize("temperature, teacher_temperature", [(1.0, 1.0), (4.0, 1.0), (1.0, 0.25), (2.0, 4.0)])
def test_its_minimum_is_what_a_student_that_says_the_same_reads(loss_of, logits, temperature, teacher_temperature):
    method, teacher = SoftCELoss(temperature, teacher_temperature), Outputs(paddle.to_tensor(logits[1].astype(np.float32)))
    perfect = logits[1] / teacher_temperature * temperature
    least = float(method.minimum(teacher, {}))
    assert least == pytest.approx(loss_of(method, perfect, logits[1])[0], rel=2e-5)
    assert least < loss_of(method, logits[0], logits[1])[0]


class Labels:
    """A teacher that says a finished distribution, such as stored labels do, and has no logits to take a softmax of."""

    def __init__(self, q: np.ndarray):
        self.q = paddle.to_tensor(q.astype(np.float32))

    def cross_entropy(self, log_p):
        return -(self.q * log_p).sum(-1)

    def entropy(self):
        return -(self.q * self.q.log()).sum(-1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_finished_distributions_are_not_tempered_and_no_t_squared_counts(oracle, logits, temperature):
    losses, q = oracle("losses"), np.random.default_rng(0).dirichlet(np.ones(10), 16)
    student = paddle.to_tensor(logits[0].astype(np.float32), stop_gradient=False)
    loss = SoftCELoss(temperature)(Outputs(student), Labels(q), {})
    loss.backward()
    expected = losses.cross_entropy_gradient(logits[0] / temperature, q) / temperature
    assert float(loss) == pytest.approx(losses.cross_entropy(logits[0] / temperature, q), rel=2e-5)
    np.testing.assert_allclose(student.grad.numpy(), expected, atol=1e-4 * np.abs(expected).max())
    assert float(SoftCELoss(temperature).minimum(Labels(q), {})) == pytest.approx(-(q * np.log(q)).sum(-1).mean(), rel=2e-5)


def test_a_constant_added_to_each_row_changes_nothing(loss_of, logits):
    shift = np.linspace(-30, 30, 16)[:, None]
    assert loss_of(SoftCELoss(), logits[0] + shift, logits[1] - shift)[0] == pytest.approx(
        loss_of(SoftCELoss(), *logits)[0], rel=2e-5)


def test_the_order_of_the_batch_does_not_matter(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    assert loss_of(SoftCELoss(), logits[0][order], logits[1][order])[0] == pytest.approx(
        loss_of(SoftCELoss(), *logits)[0], rel=1e-6)


def test_the_teacher_gets_no_gradient(loss_of, logits):
    assert loss_of(SoftCELoss(), *logits)[2] is None


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(loss_of, temperature):
    value, slope, _ = loss_of(SoftCELoss(temperature, temperature), [[60000, 0, -60000]], [[-60000, 0, 60000]],
                              dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_it_needs_probabilities_only():
    assert SoftCELoss().needs == {"probabilities"}


@pytest.mark.parametrize("option", ["temperature", "teacher_temperature"])
def test_a_temperature_of_0_is_refused(option):
    with pytest.raises(InputError, match=option):
        SoftCELoss(**{option: 0})
