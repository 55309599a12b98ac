from __future__ import annotations

import functools

import numpy as np
import paddle
import pytest

from ssld.methods.dual_view import alternative_distance, direct_distance, without_mean


@pytest.fixture
def pair():
    """Tokens [3, 12, 5] of student and teacher, a grid of 3 x 4."""
    return np.random.default_rng(0).normal(0.4, 1, (2, 3, 12, 5))


def value_and_slope(function, made, target, dtype="float64"):
    made, target = (paddle.to_tensor(each, dtype, stop_gradient=False) for each in (made, target))
    value = function(made, target)
    value.backward()
    return float(value), made.grad.numpy(), target.grad


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-6)])
def test_both_views_and_their_gradients_equal_the_formula_with_a_cosine_transform(pair, oracle, dtype, tolerance):
    formula, slopes = oracle("scalekd"), oracle("losses").slopes
    made, target = pair
    views = {direct_distance: formula.distance, alternative_distance: lambda made, target: formula.distance(
        *(formula.without_constant(each, (3, 4)) for each in (made, target)))}
    for function, expectation in views.items():
        value, slope, of_target = value_and_slope(function, made, target, dtype)
        assert value == pytest.approx(expectation(made, target), rel=tolerance)
        expected, = slopes(functools.partial(expectation, target=target), made)
        np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())
        assert of_target is None


@pytest.mark.parametrize("grid", [(7, 7), (16, 16), (3, 4), (1, 12)])
def test_without_mean_is_without_the_constant_coefficient(oracle, grid):
    tokens = np.random.default_rng(1).normal(3, 2, (2, grid[0] * grid[1], 4))
    np.testing.assert_allclose(without_mean(paddle.to_tensor(tokens)).numpy(), oracle("scalekd").without_constant(tokens, grid),
                               atol=1e-12)


def test_a_constant_per_channel_does_not_change_the_alternative_view(pair):
    made, target = map(paddle.to_tensor, pair)
    constant = paddle.to_tensor(np.random.default_rng(2).normal(0, 5, (3, 1, 5)))
    assert float(alternative_distance(made + constant, target)) == pytest.approx(float(alternative_distance(made, target)))
    assert float(direct_distance(made + constant, target)) != pytest.approx(float(direct_distance(made, target)), rel=0.01)


def test_a_perfect_student_has_no_loss_and_its_length_at_a_position_does_not_matter(pair):
    made, target = map(paddle.to_tensor, pair)
    factor = paddle.to_tensor(np.random.default_rng(3).uniform(0.1, 9, (3, 12, 1)))
    for function in (direct_distance, alternative_distance):
        assert float(function(target, target)) == 0
    assert float(direct_distance(made * factor, target)) == pytest.approx(float(direct_distance(made, target)))
    assert float(direct_distance(target * factor, target)) == pytest.approx(0, abs=1e-12)


def test_unrelated_features_are_two_apart_at_each_position_and_opposite_ones_four():
    made, target = paddle.randn([2, 4, 49, 256]).unbind(0)
    assert float(direct_distance(made, target)) == pytest.approx(2 * 49, rel=0.05)
    assert float(direct_distance(-target, target)) == pytest.approx(4 * 49, rel=1e-5)


@pytest.mark.parametrize("scale, dtype", [(1e4, "float16"), (1.0, "float16"), (1e-20, "float32"), (0.0, "float32")])
def test_tokens_of_any_length_give_a_finite_float32_loss_and_gradient(pair, scale, dtype):
    loss, slope, _ = value_and_slope(direct_distance, pair[0] * scale, pair[1], dtype)
    assert np.isfinite(loss) and np.isfinite(slope).all()
    assert direct_distance(*(paddle.to_tensor(each, dtype) for each in pair)).dtype == paddle.float32
