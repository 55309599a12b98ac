from __future__ import annotations

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.methods.dist import DISTLoss


@pytest.mark.parametrize("options", [{}, {"beta": 2.0, "gamma": 0.5, "temperature": 4.0}, {"beta": 0.0}, {"gamma": 0.0}])
def test_value_and_gradient_equal_the_formula_on_random_logits(loss_of, oracle, logits, options):
    losses = oracle("losses")
    value, slope, _ = loss_of(DISTLoss(**options), *logits)
    expected, = losses.slopes(lambda z: losses.dist(z, logits[1], **options), logits[0])
    assert value == pytest.approx(losses.dist(*logits, **options), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


def test_classes_of_which_nobody_thinks_are_held_back_by_the_epsilon_on_the_product(loss_of, oracle):
    """Columns of about 1e-5: the product of their norms is no more than the epsilon."""
    z_s, z_t = np.random.default_rng(0).normal(0, 1, (2, 8, 5))
    for z in (z_s, z_t):
        z[:, 3:] -= 11
    losses = oracle("losses")
    value, slope, _ = loss_of(DISTLoss(beta=0.0), z_s, z_t)
    expected, = losses.slopes(lambda z: losses.dist(z, z_t, beta=0.0), z_s)
    assert value == pytest.approx(losses.dist(z_s, z_t, beta=0.0), rel=2e-5) and value > 0.2
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


def test_a_student_that_ranks_alike_has_no_loss_within_images_and_one_that_ranks_the_reverse_a_loss_of_2(loss_of):
    """Two classes: rows always rank alike or the reverse."""
    logits = np.array([[3.0, 0], [0, 2]])
    inter = DISTLoss(gamma=0.0)
    assert loss_of(inter, logits, 0.5 * logits)[0] == pytest.approx(0, abs=1e-6)
    assert loss_of(inter, logits, -logits)[0] == pytest.approx(2, rel=1e-6)


@pytest.mark.parametrize("student, teacher", [
    (np.zeros((4, 3)), np.eye(4, 3)), (np.eye(4, 3), np.zeros((4, 3))), (np.ones((4, 3)) * [1, 2, 3], np.eye(4, 3)),
    ([[1.0, 2, 3]], [[3.0, 2, 1]]), (np.eye(4, 3) * 200, np.eye(4, 3)[::-1] * 200)],
    ids=["uniform student", "uniform teacher", "identical rows", "one image", "certain"])
def test_what_does_not_vary_has_a_finite_loss_and_gradient(loss_of, oracle, student, teacher):
    student, teacher = np.asarray(student), np.asarray(teacher)
    value, slope, _ = loss_of(DISTLoss(), student, teacher)
    assert value == pytest.approx(oracle("losses").dist(student, teacher), rel=2e-5) and np.isfinite(slope).all()


def test_a_perfect_student_has_no_loss_and_the_teacher_gets_no_gradient(loss_of, logits):
    value, slope, of_teacher = loss_of(DISTLoss(), logits[0] / 4, logits[0] / 4 + 3.0)
    assert abs(value) < 1e-5 and np.abs(slope).max() < 1e-5 and of_teacher is None


def test_the_order_of_the_batch_does_not_matter(loss_of, logits):
    order = np.random.default_rng(0).permutation(16)
    shuffled = loss_of(DISTLoss(), logits[0][order], logits[1][order])[0]
    assert shuffled == pytest.approx(loss_of(DISTLoss(), *logits)[0], rel=1e-6)


def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(loss_of):
    value, slope, _ = loss_of(DISTLoss(), [[60000, 0, -60000]] * 2, [[-60000, 0, 60000]] * 2, dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("options", [{"beta": -1}, {"gamma": "2"}, {"temperature": 0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        DISTLoss(**options)


def test_it_needs_probabilities_only():
    assert DISTLoss().needs == {"probabilities"}
