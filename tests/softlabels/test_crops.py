"""Crops follow torchvision's rule, and depend on the seed and the path alone."""
import math

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.softlabels.crops import crops_from, draw_crops

RATIO = (3 / 4, 4 / 3)


def one_crop(uniform, width, height, scale, ratio):
    """The rule as a loop, for one crop: top, left, height, width."""
    *attempts, top, left, _ = uniform
    for area_draw, ratio_draw in zip(attempts[::2], attempts[1::2]):
        area = width * height * (scale[0] + (scale[1] - scale[0]) * area_draw)
        aspect = math.exp(math.log(ratio[0]) + (math.log(ratio[1]) - math.log(ratio[0])) * ratio_draw)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [math.floor(top * (height - h + 1)), math.floor(left * (width - w + 1)), h, w]
    w, h = width, height
    if width / height < ratio[0]:
        h = round(width / ratio[0])
    elif width / height > ratio[1]:
        w = round(height * ratio[1])
    return [(height - h) // 2, (width - w) // 2, h, w]


@pytest.mark.parametrize("width, height, scale, ratio", [
    (500, 375, (0.08, 1.0), RATIO), (375, 500, (0.08, 0.936), RATIO), (333, 333, (0.2, 1.0), (0.5, 2.0)),
    (900, 100, (0.08, 1.0), RATIO), (100, 900, (0.3, 1.0), RATIO), (2, 3, (0.08, 1.0), RATIO), (1, 1, (0.08, 1.0), RATIO),
    (32_767, 20, (0.08, 1.0), RATIO), (32_767, 32_767, (0.08, 1.0), RATIO)])
def test_the_same_draws_give_the_boxes_of_a_plain_loop(width, height, scale, ratio):
    uniform = np.random.default_rng(0).random((400, 23))
    crops = crops_from(uniform, width, height, scale, ratio)
    assert crops.box.dtype == np.int64 and crops.flip.dtype == bool
    np.testing.assert_array_equal(crops.box, [one_crop(draws, width, height, scale, ratio) for draws in uniform.tolist()])
    np.testing.assert_array_equal(crops.flip, uniform[:, -1] < 0.5)


@pytest.mark.parametrize("width, height, box", [
    (900, 100, [0, 383, 100, 133]), (100, 900, [383, 0, 133, 100]), (110, 100, [0, 0, 100, 110]), (2000, 1, [0, 999, 1, 1])])
def test_where_no_attempt_fits_the_crop_is_the_largest_centred_one(width, height, box):
    never = np.full((1, 23), 1 - 2.0 ** -53)            # the whole area at the widest ratio
    assert crops_from(never, width, height, (0.08, 1.0), RATIO).box.tolist() == [box]


def test_every_box_lies_inside_its_image():
    rng = np.random.default_rng(1)
    for width, height in rng.integers(1, 700, (200, 2)).tolist():
        top, left, h, w = draw_crops(0, "a.jpg", width, height, 50).box.T
        assert (np.minimum(top, left) >= 0).all() and (np.minimum(h, w) >= 1).all()
        assert (top + h <= height).all() and (left + w <= width).all()


def test_a_crop_does_not_depend_on_how_many_are_drawn():
    many, few = draw_crops(7, "n01/a.JPEG", 500, 375, 500), draw_crops(7, "n01/a.JPEG", 500, 375, 3)
    np.testing.assert_array_equal(many.box[:3], few.box)
    np.testing.assert_array_equal(many.flip[:3], few.flip)


def test_seed_and_path_decide_and_the_extension_belongs_to_the_path():
    drawn = [draw_crops(seed, key, 500, 375, 8).box.tolist()
             for seed, key in ((0, "a.jpg"), (1, "a.jpg"), (0, "a.png"), (0, "b.jpg"), (0, "c/a.jpg"), (0, "a\udcff.jpg"))]
    assert len({str(boxes) for boxes in drawn}) == len(drawn)


def test_what_was_drawn_once_is_drawn_for_ever():
    crops = draw_crops(42, "n01440764/n01440764_10026.JPEG", 500, 375, 4)
    assert crops.box.tolist() == [[15, 19, 270, 225], [54, 88, 242, 287], [97, 44, 267, 257], [95, 74, 258, 276]]
    assert crops.flip.tolist() == [False, False, False, False]


@pytest.mark.parametrize("width, height", [(32_768, 10), (10, 32_768), (0, 10), (10, 0)])
def test_sides_that_a_record_cannot_hold_are_refused(width, height):
    with pytest.raises(InputError, match=rf"long\.jpg has {width} x {height} pixels.*1 to 32,767"):
        draw_crops(0, "long.jpg", width, height, 1)


def test_areas_ratios_places_and_flips_are_distributed_as_they_should_be():
    crops = draw_crops(0, "a.jpg", 4000, 4000, 20_000)
    top, left, h, w = crops.box.T.astype(float)
    small = h * w < 0.5 * 4000 ** 2             # every ratio fits, so nothing is drawn again
    area, ratio = (h * w)[small] / 4000 ** 2, np.log(w / h)[small]
    assert_uniform(area, 0.08, 0.5)
    assert_uniform(ratio, math.log(3 / 4), math.log(4 / 3))
    assert_uniform(top[small] / (4000 - h[small]), 0, 1)
    assert_uniform(left[small] / (4000 - w[small]), 0, 1)
    assert_uniform(np.arange(len(small))[crops.flip] / len(small), 0, 1)
    assert abs(crops.flip.mean() - 0.5) < 0.015         # four standard deviations
    assert abs(np.corrcoef(area, ratio)[0, 1]) < 0.04


def assert_uniform(values, low, high):
    """Kolmogorov and Smirnov's distance, whose 0.1 % bound is 1.95 / sqrt(n)."""
    values = np.sort((values - low) / (high - low))
    assert np.abs(values - np.arange(len(values)) / len(values)).max() < 1.95 / math.sqrt(len(values)) + 0.001
