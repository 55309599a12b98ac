from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.cross_attention import CrossAttentionProjector, projector_cost


def build(student_dim=3, grid=(3, 2), teacher_dim=8, positions=4, heads=2, dtype="float64", **options):
    paddle.seed(0)
    projector = CrossAttentionProjector(student_dim, grid, teacher_dim, positions, heads, **options)
    for name, parameter in projector.named_parameters():                # norms that do something
        if "norm" in name and not parameter.stop_gradient:
            parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
    return projector.to(dtype=dtype)


def inputs(own_query, student_dim=3, grid=(3, 2), teacher_dim=8, positions=4, count=5):
    rng = np.random.default_rng(0)
    feature, query = rng.normal(0, 1, (count, student_dim, *grid)), rng.normal(0, 1, (count, positions, teacher_dim))
    return feature, None if own_query else query


@pytest.mark.parametrize("own_query", [True, False])
@pytest.mark.parametrize("norm", ["bn", "ln"])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 2e-6)])
def test_tokens_equal_the_formula(oracle, weights_of, own_query, norm, dtype, tolerance):
    projector = build(norm=norm, own_query=own_query, softmax_scale=5, dtype=dtype)
    feature, query = inputs(own_query)
    expected = oracle("scalekd").projector(weights_of(projector), feature, 2, 5, query, norm)
    found = projector(paddle.to_tensor(feature, dtype), None if query is None else paddle.to_tensor(query, dtype))
    np.testing.assert_allclose(found.numpy(), expected, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("own_query, norm", [(True, "bn"), (False, "ln")])
def test_the_gradient_of_every_parameter_and_input_equals_the_formula(oracle, weights_of, own_query, norm):
    projector, (feature, query) = build(norm=norm, own_query=own_query, softmax_scale=0.7, dtype="float32"), inputs(own_query)
    weights, factor = weights_of(projector), np.random.default_rng(1).normal(0, 1, (5, 4, 8))
    given = [feature] if own_query else [feature, query]

    def loss(*arrays):
        named = dict(zip(weights, arrays[len(given):]))
        return (factor * oracle_projector(named, arrays[0], 2, 0.7, None if own_query else arrays[1], norm)).sum()

    oracle_projector = oracle("scalekd").projector
    tensors = [paddle.to_tensor(each, "float32", stop_gradient=False) for each in given]
    (projector(*tensors) * paddle.to_tensor(factor, "float32")).sum().backward()
    found = [*tensors, *(parameter for name, parameter in projector.named_parameters() if name in weights)]
    largest = 0
    for name, tensor, expected in zip([*"fq"[:len(given)], *weights], found,
                                      oracle("losses").slopes(loss, *given, *weights.values())):
        largest = max(largest, np.abs(expected).max())
        np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-4 * np.abs(expected).max() + 1e-6 * largest,
                                   err_msg=name)


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (7, 7)])
def test_the_tokens_lie_on_the_teachers_grid_whatever_the_students(grid):
    projector = build(grid=grid, positions=6)
    assert projector(paddle.randn([2, 3, *grid], dtype="float64")).shape == [2, 6, 8]


def test_the_order_of_keys_and_values_does_not_matter():
    projector = build()
    query, key, value = (paddle.randn([2, n, 8], dtype="float64") for n in (4, 6, 6))
    order = paddle.to_tensor([3, 0, 5, 1, 4, 2])
    shuffled = projector._attend(query, paddle.gather(key, order, axis=1), paddle.gather(value, order, axis=1))
    np.testing.assert_allclose(shuffled.numpy(), projector._attend(query, key, value).numpy(), atol=1e-12)


def test_own_queries_are_prepared_once_for_all_images():
    projector, rows = build(), []
    projector.to_query.register_forward_post_hook(lambda layer, given, made: rows.append(made.shape))
    projector(paddle.randn([5, 3, 3, 2], dtype="float64"))
    assert rows == [[1, 4, 8]]


def test_initial_values_are_the_published_ones():
    projector = build(student_dim=64, grid=(14, 14), teacher_dim=96, positions=196, dtype="float32")
    fresh = CrossAttentionProjector(64, (14, 14), 96, 196, 2)
    for name, inputs_ in (("stem", 576), ("before_query", 96), ("to_query", 96), ("to_key", 64), ("to_value", 64), ("out", 96),
                          ("widen", 96), ("narrow", 384)):
        bound = 1 / math.sqrt(inputs_)
        for values in (getattr(fresh, name).weight, getattr(fresh, name).bias):
            assert 0.8 * bound < float(values.abs().max()) <= bound
            assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.2)
    assert float(fresh.query.std()) == pytest.approx(1, rel=0.03) and abs(float(fresh.query.mean())) < 0.03
    assert float(fresh.pos_embed.std()) == pytest.approx(0.02, rel=0.05) and float(fresh.pos_embed.abs().max()) > 0.06
    for norm in (fresh.norm, fresh.out_norm):
        assert (norm.weight.numpy() == 1).all() and (norm.bias.numpy() == 0).all() and norm._epsilon == 1e-5
    assert fresh.norm._momentum == 0.9 and projector.pos_embed.shape == [1, 64, 14, 14]


def test_the_position_of_a_student_is_called_pos_embed_and_decay_can_spare_it():
    from ssld.optim.param_groups import exempt_from_decay

    projector = build()
    decays = exempt_from_decay(projector, [".pos_embed", "pos_embed"], one_dimensional=True)
    spared = {name for name, parameter in projector.named_parameters() if not decays(parameter.name)}
    assert "pos_embed" in spared and "query" not in spared
    assert all(name in spared for name, parameter in projector.named_parameters() if parameter.ndim == 1)
    assert all(parameter.ndim != 1 for name, parameter in projector.named_parameters() if name not in spared)


@pytest.mark.parametrize("own_query", [True, False])
@pytest.mark.parametrize("norm", ["bn", "ln"])
def test_the_stated_cost_has_the_parameters_that_train(weights_of, own_query, norm):
    projector = build(student_dim=5, grid=(4, 3), teacher_dim=12, positions=7, own_query=own_query, norm=norm)
    stated = projector_cost(5, (4, 3), 12, 7, own_query)
    assert stated.parameters == sum(value.size for value in weights_of(projector).values())


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(InputError, match="heads: 5 heads do not divide the teacher's width of 8"):
        build(heads=5)


def test_half_precision_is_widened_for_the_softmax():
    projector = build(dtype="float32")
    query = paddle.full([1, 1, 8], 200.0, "float16")                        # 200 * 200 * 4 overflows float16
    key = paddle.concat([query, query * 0.5], axis=1)
    value = paddle.to_tensor([[[1.0] * 8, [7.0] * 8]])                      # the CPU multiplies no float16
    np.testing.assert_allclose(projector._attend(query, key, value).numpy(), 1.0, atol=1e-6)
