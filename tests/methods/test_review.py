from __future__ import annotations

import math

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.review import ReviewKDLoss, map_distance

STUDENT = {"stage1": (2, 4, 4), "stage2": (3, 2, 2), "pool": (4,)}
TEACHER = {"pre_stage1": (2, 5, 5), "pre_stage2": (3, 2, 2), "pool": (3,)}


def build(site_of, student=STUDENT, teacher=TEACHER, seed=0, **options) -> ReviewKDLoss:
    paddle.seed(seed)
    method = ReviewKDLoss(list(student), list(teacher), **options)
    method.attach(site_of(student, teacher))
    return method


def draw(shapes, count=6, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0.5, 1, (count, *shape)) for name, shape in shapes.items()}


def maps(features):
    return [each[:, :, None, None] if each.ndim == 2 else each for each in features.values()]


def test_value_and_the_gradient_of_every_parameter_and_feature_equal_the_formula(loss_of_features, weights_of, oracle, site_of):
    losses, method = oracle("losses"), build(site_of, width=2)
    student, teacher, weights = draw(STUDENT, 5), draw(TEACHER, 5, seed=1), weights_of(method)
    assert len(weights) == 3 * 6 + 2 * 2
    value, slope = loss_of_features(method, student, teacher)

    def loss(*arrays):
        return losses.review(maps(dict(zip(STUDENT, arrays))), maps(teacher), dict(zip(weights, arrays[len(STUDENT):])))

    arrays = [*student.values(), *weights.values()]
    assert value == pytest.approx(loss(*arrays), rel=2e-5)
    found = [*slope.values(), *(parameter.grad.numpy() for name, parameter in method.named_parameters() if name in weights)]
    for name, mine, expected in zip([*STUDENT, *weights], found, losses.slopes(loss, *arrays)):
        np.testing.assert_allclose(mine, expected, atol=1e-4 * np.abs(expected).max() + 1e-7, err_msg=name)


@pytest.mark.parametrize("height, width", [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (7, 7), (6, 5)])
def test_maps_are_compared_whole_and_pooled_to_every_smaller_size(oracle, height, width):
    made, target = np.random.default_rng(0).normal(0, 1, (2, 2, 3, height, width))
    found = map_distance(*(paddle.to_tensor(each.astype(np.float32)) for each in (made, target)))
    assert float(found) == pytest.approx(oracle("losses").hierarchical_distance(made, target), rel=2e-5)


@pytest.mark.parametrize("student, teacher", [
    ({"pool": (5,)}, {"pool": (4,)}), ({"stage4": (3, 4, 4)}, {"stage4": (3, 2, 2)}),
    ({"a": (3, 8, 4), "b": (4, 4, 2), "c": (5, 2, 1), "pool": (5,)}, {"a": (2, 6, 3), "b": (2, 5, 3), "c": (3, 3, 2),
                                                                         "p": (6,)})],
    ids=["a vector alone", "a map alone", "oblong maps of four levels"])
def test_any_number_of_levels_of_any_size_will_do(loss_of_features, weights_of, oracle, site_of, student, teacher):
    method, f_s, f_t = build(site_of, student, teacher), draw(student), draw(teacher, seed=1)
    expected = oracle("losses").review(maps(f_s), maps(f_t), weights_of(method))
    assert loss_of_features(method, f_s, f_t)[0] == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("before", [0, 1, 2])
def test_tokens_are_laid_out_as_their_grid_without_the_tokens_before_it(loss_of_features, site_of, before):
    grid = {"blocks.3": (5, 4, 4), "pool": (5,)}
    tokens = {"blocks.3": (before + 16, 5), "pool": (5,)}
    teacher = {name: TEACHER[name] for name in ("pre_stage2", "pool")}
    of_grid, of_tokens = (build(site_of, shapes, teacher) for shapes in (grid, tokens))
    f_s, f_t = draw(grid), draw(teacher, seed=1)
    as_tokens = f_s["blocks.3"].reshape(6, 5, 16).transpose(0, 2, 1)
    as_tokens = np.concatenate([np.full((6, before, 5), 9.0), as_tokens], 1)
    value, slope = loss_of_features(of_tokens, {**f_s, "blocks.3": as_tokens}, f_t)
    assert value == pytest.approx(loss_of_features(of_grid, f_s, f_t)[0], rel=1e-6)
    assert not slope["blocks.3"][:, :before].any() and slope["blocks.3"][:, before:].any()


def test_tokens_that_are_no_grid_are_refused(site_of):
    with pytest.raises(InputError, match=r"'blocks.3' has the shape \[19, 5\].*a grid of the image's proportions"):
        build(site_of, {"blocks.3": (19, 5)}, {"pool": (4,)})


def test_the_blocks_are_as_wide_as_published(site_of):
    """ResNet-152 -> ResNet-50 at 224 pixels: 30.2 M parameters."""
    shapes = {f"pre_stage{i + 1}": (256 * 2 ** i, 56 // 2 ** i, 56 // 2 ** i) for i in range(4)}
    method = ReviewKDLoss()
    with paddle.LazyGuard():                    # nothing is drawn
        method.attach(site_of({**shapes, "pool": (2048,)}, {**shapes, "pool": (2048,)}))
    assert sum(parameter.size for parameter in method.parameters()) / 1e6 == pytest.approx(30.2, abs=0.05)
    assert method.blocks[-1].attention is None and method.blocks[0].attention is not None


def test_convolutions_begin_uniform_within_their_bound(site_of):
    block = build(site_of, {"stage1": (16, 4, 4)}, {"stage1": (32, 4, 4)}).blocks[0]
    for layer, inputs in ((block.reduce[0], 16), (block.widen[0], 16 * 9)):
        bound = math.sqrt(3 / inputs)
        assert 0.95 * bound < float(layer.weight.abs().max()) <= bound
        assert float(layer.weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_one_image_and_float16_give_a_finite_loss_and_gradient(loss_of_features, site_of):
    method = build(site_of)
    for count, dtype in ((1, "float32"), (4, "float16")):
        value, slope = loss_of_features(method, draw(STUDENT, count), draw(TEACHER, count, seed=1), dtype=dtype)
        assert np.isfinite(value) and all(np.isfinite(each).all() for each in slope.values())


@pytest.mark.parametrize("options, message", [
    ({"student_taps": ["stage1"]}, "must name as many levels; they name 1 and 5"),
    ({"student_taps": []}, "student_taps must be a list of names"), ({"teacher_taps": "pool"}, "teacher_taps must be a list"),
    ({"student_taps": [1, 2]}, "student_taps must be a list"), ({"width": 0}, "width must be a whole number")])
def test_other_levels_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        ReviewKDLoss(**options)
