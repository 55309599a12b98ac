from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.methods.js import JSDivLoss

FORMS = ("symmetric_kl", "jensen_shannon")

# z_s, z_t, half Jeffreys, Jensen-Shannon, gradient of half Jeffreys in z_s; float64, six and five decimals
VECTORS = [
    ([1, 2, 3], [3, 2, 1], 1.150421, 0.247588, [-0.42942, -0.14077, 0.57019]),
    ([0, 0, 0, 0], [4, 0, 0, 0], 1.395830, 0.289960, [-0.72396, 0.24132, 0.24132, 0.24132]),
    ([10, 0, 0], [0, 10, 0], 9.998638, 0.692616, [0.50061, -0.50039, -0.00023]),
    ([30, 0, 0], [0, 30, 0], 30.000, 0.693147, [0.5, -0.5, 0]),
]


@pytest.mark.parametrize("z_s, z_t, jeffreys, jensen_shannon, gradient", VECTORS)
def test_both_forms_equal_the_worked_examples(loss_of, z_s, z_t, jeffreys, jensen_shannon, gradient):
    value, slope, _ = loss_of(JSDivLoss(), [z_s], [z_t])
    assert value == pytest.approx(jeffreys, rel=2e-5)
    np.testing.assert_allclose(slope[0], gradient, atol=1e-5)          # the table has five decimals
    assert loss_of(JSDivLoss("jensen_shannon"), [z_s], [z_t])[0] == pytest.approx(jensen_shannon, rel=2e-5)


def exact_gradient(z_s, z_t, form: str) -> list:
    """Gradient of one row in z_s, computed with 100 digits: float64 has none left of differences of tiny probabilities."""
    with localcontext() as context:
        context.prec = 100
        p, q = (softmax([Decimal(z) for z in row]) for row in (z_s, z_t))
        other = q if form == "symmetric_kl" else [(a + b) / 2 for a, b in zip(p, q)]
        r = [(a / b).ln() for a, b in zip(p, other)]
        mean = sum(a * x for a, x in zip(p, r))
        pull = [a - b if form == "symmetric_kl" else 0 for a, b in zip(p, q)]
        return [float((d + a * (x - mean)) / 2) for d, a, x in zip(pull, p, r)]


def softmax(z) -> list:
    total = sum(x.exp() for x in z)
    return [x.exp() / total for x in z]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("z_s, z_t", [*(vector[:2] for vector in VECTORS),
                                      *(([gap, 0, 0], [0, gap, 0]) for gap in (5, 15, 60, 120))])
def test_gradients_equal_those_of_a_hundred_digits(loss_of, oracle, form, z_s, z_t):
    expected = exact_gradient(z_s, z_t, form)
    np.testing.assert_allclose(getattr(oracle("losses"), f"{form}_gradient")([z_s], [z_t])[0], expected, atol=1e-13)
    slope = loss_of(JSDivLoss(form), [z_s], [z_t])[1][0]
    # float32: the logarithms of probabilities are of the size of the gap
    np.testing.assert_allclose(slope, expected, atol=3e-7 * max(1, np.abs(z_s).max()))


@pytest.mark.parametrize("gap, least", [(2, 0.1), (5, 0.01), (10, 1e-4), (60, 0), (120, 0)])
def test_jensen_shannon_lets_go_of_a_confidently_wrong_student_as_its_formula_says(loss_of, gap, least):
    z_s, z_t = [gap, 0, 0], [0, gap, 0]
    exact = exact_gradient(z_s, z_t, "jensen_shannon")
    assert exact[0] > least and exact[0] < 30 * gap * math.exp(-gap)        # alive in the formula, but with e^-gap
    value, slope, _ = loss_of(JSDivLoss("jensen_shannon"), [z_s], [z_t])
    assert slope[0, 0] == pytest.approx(exact[0], rel=1e-2, abs=1e-6) and 0 < value <= math.log(2) + 1e-6


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_value_and_gradient_equal_the_formulas_on_random_logits(loss_of, oracle, logits, form, temperature):
    losses = oracle("losses")
    value, slope, _ = loss_of(JSDivLoss(form, temperature), *logits)
    expected = getattr(losses, f"{form}_gradient")(*logits, temperature)
    assert value == pytest.approx(getattr(losses, form)(*logits, temperature), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("gap", [60, 120])
def test_a_confidently_wrong_student_still_gets_the_whole_gradient(loss_of, oracle, gap):
    z_s, z_t = [[gap, 0, 0]], [[0, gap, 0]]
    value, slope, _ = loss_of(JSDivLoss(), z_s, z_t)
    assert value == pytest.approx(gap, rel=2e-5)
    np.testing.assert_allclose(slope, oracle("losses").symmetric_kl_gradient(z_s, z_t), atol=1e-4)
    assert slope[0, 0] == pytest.approx(0.5, abs=1e-4) and slope[0, 1] == pytest.approx(-0.5, abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_perfect_student_has_no_loss_and_no_gradient(loss_of, logits, form):
    value, slope, _ = loss_of(JSDivLoss(form), logits[0], logits[0] + 3.0)      # logits are defined up to a constant
    assert abs(value) < 1e-6 and np.abs(slope).max() < 1e-6


@pytest.mark.parametrize("form", FORMS)
def test_a_constant_added_to_each_row_changes_nothing(loss_of, logits, form):
    shift = np.linspace(-30, 30, len(logits[0]))[:, None]
    plain, shifted = loss_of(JSDivLoss(form), *logits), loss_of(JSDivLoss(form), logits[0] + shift, logits[1] - shift)
    assert shifted[0] == pytest.approx(plain[0], rel=2e-5)
    np.testing.assert_allclose(shifted[1], plain[1], atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_the_batch_does_not_matter(loss_of, logits, form):
    order = np.random.default_rng(0).permutation(len(logits[0]))
    assert loss_of(JSDivLoss(form), logits[0][order], logits[1][order])[0] == pytest.approx(
        loss_of(JSDivLoss(form), *logits)[0], rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_student_and_teacher_may_change_places(loss_of, logits, form):
    assert loss_of(JSDivLoss(form), *logits)[0] == pytest.approx(loss_of(JSDivLoss(form), *logits[::-1])[0], rel=1e-5)


def test_jensen_shannon_stays_below_ln_2(loss_of):
    assert loss_of(JSDivLoss("jensen_shannon"), [[300, 0]], [[0, 300]])[0] == pytest.approx(math.log(2), rel=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_the_teacher_gets_no_gradient(loss_of, logits, form):
    assert loss_of(JSDivLoss(form), *logits)[2] is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(loss_of, form, temperature):
    value, slope, _ = loss_of(JSDivLoss(form, temperature), [[60000, 0, -60000]], [[-60000, 0, 60000]], dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_it_needs_probabilities_only():
    assert JSDivLoss().needs == {"probabilities"}


@pytest.mark.parametrize("options, named", [({"form": "jensen_shanon"}, "jensen_shannon"), ({"temperature": 0}, "temperature"),
                                            ({"temperature": "2"}, "temperature")])
def test_a_wrong_option_is_named(options, named):
    with pytest.raises(InputError, match=named):
        JSDivLoss(**options)
