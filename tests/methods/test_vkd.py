from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.base import Site
from ssld.methods.vkd import VkDLoss
from ssld.models.orthogonal import OrthogonalProjection
from ssld.outputs import Outputs

NORMALIZATIONS = ["layernorm", "standardize", "whiten", "none"]
every_normalization = pytest.mark.parametrize("normalize", NORMALIZATIONS)


def drawn(*shape, seed=0):
    """Channels of very different sizes and means."""
    rng = np.random.default_rng([seed, *shape])
    width = shape[1] if len(shape) in (2, 4) else shape[2]
    form = [1, width] + [1] * (len(shape) - 2) if len(shape) in (2, 4) else [1, 1, width]
    return rng.normal(size=shape) * rng.uniform(0.2, 3, width).reshape(form) + rng.normal(0, 2, width).reshape(form)


def attached(student, teacher, **options):
    """A method at its site; student and teacher map names to features with batch axis."""
    paddle.seed(0)
    method = VkDLoss(**options)
    method.attach(Site(*({name: tuple(np.shape(value)[1:]) for name, value in part.items()} for part in (student, teacher)),
                       np.zeros(4, np.int64)))
    return method


def ask(method, student, teacher, dtype="float32"):
    """Loss, and the features as tensors with their gradients."""
    parts = [{name: paddle.to_tensor(np.asarray(value), dtype, stop_gradient=False) for name, value in part.items()}
             for part in (student, teacher)]
    loss = method(*(Outputs(paddle.zeros([1, 2]), part) for part in parts), {})
    loss.backward()
    return float(loss), *parts


def pooled(d_s, d_t, count=24):
    return {"pool": drawn(count, d_s)}, {"pool": drawn(count, d_t, seed=1)}


def slope(function, x, step=1e-6):
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += step
        down[place] -= step
        gradient[place] = (function(up) - function(down)) / (2 * step)
    return gradient


@every_normalization
@pytest.mark.parametrize("d_s, d_t", [(4, 9), (6, 6), (9, 4)])
def test_loss_and_gradients_equal_the_formula(normalize, d_s, d_t, oracle):
    student, teacher = pooled(d_s, d_t)
    method, formula = attached(student, teacher, normalize=normalize), oracle("vkd").loss
    loss, seen, _ = ask(method, student, teacher)
    projection = method.projections[0]
    z, t, signs, free = student["pool"], teacher["pool"], projection.signs.numpy(), projection.free.numpy().astype(np.float64)

    def by_free(x):
        columns = oracle("orthogonal").householder(x) * signs
        return formula(z, columns if d_t >= d_s else columns.T, t, normalize)

    assert loss == pytest.approx(by_free(free), rel=2e-5)
    matrix = projection.matrix().numpy().astype(np.float64)
    for found, expected in ((seen["pool"].grad.numpy(), slope(lambda x: formula(x, matrix, t, normalize), z)),
                            (projection.free.grad.numpy(), slope(by_free, free))):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@every_normalization
def test_the_teacher_gets_no_gradient(normalize):
    student, teacher = pooled(4, 9)
    assert ask(attached(student, teacher, normalize=normalize), student, teacher)[2]["pool"].grad is None


def test_the_projection_is_in_the_teachers_width_and_its_free_matrix_alone_trains_along():
    student, teacher = pooled(4, 9)
    method = attached(student, teacher)
    assert [(name, parameter.shape) for name, parameter in method.named_parameters()] == [("projections.0.free", [9, 4])]
    assert method.projections[0].matrix().shape == [9, 4]
    assert method.projections[0].free.no_weight_decay


@pytest.mark.parametrize("name", ["householder", "cayley", "exp"])
@pytest.mark.parametrize("trivialize", [False, True])
def test_the_map_is_an_option(name, trivialize):
    student, teacher = pooled(4, 9)
    method = attached(student, teacher, map=name, trivialize=trivialize)
    assert method.projections[0].map == name and (method.projections[0].base is not None) == trivialize
    assert np.isfinite(ask(method, student, teacher)[0])


def rows_of(feature, skip=0):
    """[B, positions, channels]."""
    if feature.ndim == 4:
        return feature.reshape(*feature.shape[:2], -1).transpose(0, 2, 1)
    return feature[:, skip:] if feature.ndim == 3 else feature[:, None]


@every_normalization
@pytest.mark.parametrize("pooling", ["mean", "none"])
@pytest.mark.parametrize("shapes, skips", [
    (((4, 3, 2), (9, 3, 2)), (0, 0)), (((4, 3, 2), (6, 9)), (0, 0)), (((8, 4), (9, 3, 2)), (2, 0)),
    (((7, 4), (8, 9)), (1, 2)), (((4,), (9,)), (0, 0))])
def test_maps_and_tokens_are_pooled_or_compared_position_by_position(normalize, pooling, shapes, skips, oracle):
    student, teacher = {"a": drawn(20, *shapes[0])}, {"b": drawn(20, *shapes[1], seed=1)}
    method = attached(student, teacher, normalize=normalize, pairs=[["a", "b"]], pooling=pooling, student_skip=skips[0],
                      teacher_skip=skips[1])
    z, t = (rows_of(part, skip) for part, skip in zip((student["a"], teacher["b"]), skips))
    z, t = (rows.mean(1) if pooling == "mean" else rows.reshape(-1, rows.shape[2]) for rows in (z, t))
    expected = oracle("vkd").loss(z, method.projections[0].matrix().numpy().astype(np.float64), t, normalize)
    assert ask(method, student, teacher)[0] == pytest.approx(expected, rel=2e-5)


@every_normalization
def test_a_student_that_is_the_projected_normalised_teacher_has_no_loss(normalize, oracle):
    t = drawn(40, 6, seed=1)
    method = attached({"pool": t}, {"pool": t}, normalize=normalize)
    z = getattr(oracle("vkd"), normalize)(t) @ method.projections[0].matrix().numpy()
    assert ask(method, {"pool": z}, {"pool": t})[0] == pytest.approx(0, abs=1e-9)


def test_whitened_features_are_uncorrelated_with_variance_1():
    _, teacher = pooled(4, 9, count=200)
    whitened = VkDLoss("whiten").normalization(paddle.to_tensor(teacher["pool"], "float32"), 0.0).numpy()
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(9), atol=1e-5)
    np.testing.assert_allclose(whitened.mean(0), 0, atol=1e-5)


@pytest.mark.parametrize("count", [3, 9])
def test_too_few_rows_are_whitened_with_an_epsilon_only(count, oracle):
    student, teacher = pooled(4, 9, count)
    with pytest.raises(InputError, match=rf"needs more rows than channels, found {count} rows of 9 channels. Set epsilon"):
        ask(attached(student, teacher, normalize="whiten"), student, teacher)
    method = attached(student, teacher, normalize="whiten", epsilon=1e-3)
    t = oracle("vkd").whiten(teacher["pool"], 1e-3)
    y = student["pool"] @ method.projections[0].matrix().numpy().astype(np.float64).T
    assert ask(method, student, teacher)[0] == pytest.approx(oracle("vkd").smooth_l1(y, t), rel=2e-5)


@pytest.mark.parametrize("constant", [True, False])
def test_channels_without_variance_of_their_own_are_not_whitened_without_an_epsilon(constant):
    student, teacher = pooled(4, 9)
    teacher["pool"][:, 3] = 0.25 if constant else teacher["pool"][:, 5] - 2 * teacher["pool"][:, 7]
    with pytest.raises(InputError, match="depend on each other or never vary, so their covariance has no inverse"):
        ask(attached(student, teacher, normalize="whiten"), student, teacher)
    assert np.isfinite(ask(attached(student, teacher, normalize="whiten", epsilon=1e-3), student, teacher)[0])


@pytest.mark.parametrize("normalize", ["layernorm", "standardize", "none"])
def test_constant_features_give_a_finite_loss_and_gradient(normalize):
    student, teacher = {"pool": np.full((6, 4), 0.5)}, {"pool": np.full((6, 9), 2.0)}
    method = attached(student, teacher, normalize=normalize)
    loss, seen, _ = ask(method, student, teacher)
    assert np.isfinite(loss) and np.isfinite(seen["pool"].grad.numpy()).all()
    assert np.isfinite(method.projections[0].free.grad.numpy()).all()


def test_a_single_row_is_not_standardised():
    student, teacher = pooled(4, 9, count=1)
    with pytest.raises(InputError, match="standardize needs at least two rows"):
        ask(attached(student, teacher, normalize="standardize"), student, teacher)


@pytest.mark.parametrize("normalize, epsilon", [("layernorm", 0.5), ("standardize", 0.5), ("whiten", 0.5)])
def test_epsilon_is_an_option(normalize, epsilon, oracle):
    student, teacher = pooled(4, 9)
    method = attached(student, teacher, normalize=normalize, epsilon=epsilon)
    function = getattr(oracle("vkd"), normalize)
    y = student["pool"] @ method.projections[0].matrix().numpy().astype(np.float64).T
    y = function(y, epsilon) if normalize == "standardize" else y
    expected = oracle("vkd").smooth_l1(y, function(teacher["pool"], epsilon))
    assert ask(method, student, teacher)[0] == pytest.approx(expected, rel=2e-5)


def test_several_pairs_add_up_each_with_a_projection_of_its_own(oracle):
    student, teacher = {"a": drawn(10, 4), "b": drawn(10, 5)}, {"c": drawn(10, 9, seed=1), "d": drawn(10, 7, seed=2)}
    method = attached(student, teacher, pairs=[["a", "c"], ["b", "d"], ["a", "d"]])
    assert (method.student_taps, method.teacher_taps) == (("a", "b", "a"), ("c", "d", "d"))
    expected = sum(oracle("vkd").loss(student[s], projection.matrix().numpy().astype(np.float64), teacher[t], "layernorm")
                   for projection, (s, t) in zip(method.projections, method.pairs))
    assert len(method.projections) == 3 and ask(method, student, teacher)[0] == pytest.approx(expected, rel=2e-5)


def test_the_order_of_the_batch_does_not_matter():
    student, teacher = pooled(4, 9)
    method, order = attached(student, teacher), np.random.default_rng(0).permutation(24)
    shuffled = [{"pool": part["pool"][order]} for part in (student, teacher)]
    assert ask(method, *shuffled)[0] == pytest.approx(ask(method, student, teacher)[0], rel=1e-6)


@every_normalization
def test_float16_features_give_a_finite_float32_loss(normalize):
    student, teacher = pooled(4, 9)
    method = attached(student, teacher, normalize=normalize)
    loss, seen, _ = ask(method, student, teacher, "float16")
    assert loss == pytest.approx(ask(method, student, teacher)[0], rel=2e-2) and np.isfinite(seen["pool"].grad.numpy()).all()


def test_diagnostics_tell_the_worst_projection():
    student, teacher = {"a": drawn(10, 4)}, {"c": drawn(10, 9)}
    method = attached(student, teacher, pairs=[["a", "c"], ["a", "c"]])
    assert method.diagnostics()["orthogonality_error"] < 1e-6
    signs = method.projections[1].signs
    signs.set_value(signs * 1.1)
    assert method.diagnostics() == {"orthogonality_error": pytest.approx(0.21, abs=1e-5)}


def test_it_needs_features_and_by_default_the_pooled_ones():
    method = VkDLoss()
    assert method.needs == {"features"} and (method.student_taps, method.teacher_taps) == (("pool",), ("pool",))


def test_a_projection_that_loses_features_is_said_when_the_layers_are_made(capsys):
    attached(*pooled(9, 4))
    assert capsys.readouterr().err.count("loses a part of the student's features") == 1


@pytest.mark.parametrize("options, shapes, message", [
    ({"pooling": "none"}, ((4, 3, 2), (9, 2, 2)), "has 6 positions, the teacher's b 4.*Use pooling: mean"),
    ({"student_skip": 5}, ((5, 4), (9, 2, 2)), "feature a has 5 tokens, of which 5 would be left out"),
])
def test_features_that_cannot_be_compared_are_refused(options, shapes, message):
    with pytest.raises(InputError, match=message):
        attached({"a": np.zeros((1, *shapes[0]))}, {"b": np.zeros((1, *shapes[1]))}, pairs=[["a", "b"]], **options)


@pytest.mark.parametrize("options, message", [
    ({"normalize": "layer_norm"}, "normalize cannot be 'layer_norm'. Did you mean 'layernorm'"),
    ({"pooling": "max"}, "pooling cannot be 'max'"),
    ({"pairs": []}, "pairs is empty"),
    ({"pairs": ["pool", "pool"]}, r"pairs must be a list of \[student feature, teacher feature\].*found 'pool'"),
    ({"pairs": [["pool"]]}, "pairs must be a list"),
    ({"student_skip": -1}, "student_skip must be a number of at least 0"),
    ({"epsilon": -1.0}, "epsilon must be a number of at least 0"),
    ({"normalize": "whiten", "epsilon": 2.0}, "epsilon must lie between 0 and 1"),
    ({"map": "qr"}, "map cannot be 'qr'"),
])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        VkDLoss(**options)


@pytest.mark.parametrize("d_s, d_t", [(4, 9), (9, 4)])
def test_it_is_the_unconstrained_loss_when_the_matrix_is_replaced(d_s, d_t, monkeypatch, oracle):
    """The constraint lies in the projection alone: with any other matrix the formula is the same."""
    student, teacher = pooled(d_s, d_t)
    method, matrix = attached(student, teacher), drawn(d_t, d_s, seed=7)
    monkeypatch.setattr(OrthogonalProjection, "matrix", lambda self: paddle.to_tensor(matrix, "float32"))
    assert ask(method, student, teacher)[0] == pytest.approx(
        oracle("vkd").loss(student["pool"], matrix, teacher["pool"], "layernorm"), rel=2e-5)
