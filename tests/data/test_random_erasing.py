"""Where random erasing puts its noise, and what the noise is."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ssld.data.random_erasing import RandomErasing
from ssld.data.transforms import NormalizeImage, build_transforms
from ssld.errors import InputError


def rng(seed=0):
    return np.random.default_rng(seed)


def picture(height=60, width=80):
    return rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_one_rectangle_changes_and_nothing_else_and_the_input_stays():
    image, before = picture(), picture()
    for seed in range(20):
        erased = RandomErasing(prob=1.0)(image, rng(seed))
        rows, columns = np.nonzero((erased != image).any(2))
        top, left, height, width = rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1
        again = RandomErasing().box(60, 80, _after_the_coin(seed))
        assert (top, left, height, width) == again
        assert (erased != image).any(2)[top:top + height, left:left + width].mean() > 0.99
        np.testing.assert_array_equal(image, before)


def _after_the_coin(seed):
    generator = rng(seed)
    generator.random()
    return generator


def test_a_quarter_of_the_images_lose_a_rectangle():
    image, erasing = picture(8, 8), RandomErasing(prob=0.25)
    hits = sum(erasing(image, rng(seed)) is not image for seed in range(4000))
    assert abs(hits - 1000) < 137                       # five standard deviations of 27.4


def test_area_ratio_and_place_follow_their_ranges():
    erasing, boxes = RandomErasing(scale=(0.02, 1 / 3), ratio=(0.3, 10 / 3)), []
    for seed in range(3000):
        boxes.append(erasing.box(1000, 1000, rng(seed)))
    top, left, height, width = np.array(boxes).T
    area, aspect = height * width / 1e6, np.log(height / width)
    whole = (height < 1000) & (width < 1000)
    assert whole.mean() > 0.97                          # the others are cut to the image
    assert 0.0195 < area[whole].min() < 0.022 and 0.325 < area[whole].max() < 0.335
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 0.01
    assert abs(aspect).max() < np.log(10 / 3) + 0.01 and abs(aspect.mean()) < 0.065      # symmetric: log-uniform
    assert (top + height <= 1000).all() and (left + width <= 1000).all() and (top >= 0).all() and (left >= 0).all()
    assert (top + height == 1000).any() and (left == 0).any()


def test_the_noise_has_mean_0_and_deviation_1_behind_normalisation_and_a_value_of_its_own_for_each_pixel():
    erased = RandomErasing(prob=1.0, scale=(1.0, 1.0), ratio=(1.0, 1.0))(np.zeros((300, 300, 3), np.uint8), rng())
    noise = np.asarray(NormalizeImage()(erased, rng())).reshape(-1, 3)
    assert np.abs(noise.mean(0)).max() < 0.05 and np.abs(noise.std(0) - 1).max() < 0.06      # cut off, whole numbers
    correlation = np.corrcoef(noise.T)
    assert np.abs(correlation - np.eye(3)).max() < 0.02
    assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2)])
def test_small_and_narrow_images_are_erased_within_their_bounds(size):
    for seed in range(30):
        assert RandomErasing(prob=1.0)(np.zeros((*size, 3), np.uint8), rng(seed)).shape == (*size, 3)


def test_yaml_knows_it_behind_randaugment_and_in_front_of_normalisation(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "picture.png")
    ops = ["DecodeImage", {"RandAugment": {"prob": 1.0}}, {"RandomErasing": {"prob": 1.0}}, "NormalizeImage", "ToCHWImage"]
    pipeline = build_transforms(ops, "ops")
    first, again, other = (pipeline(tmp_path / "picture.png", rng(seed)) for seed in (1, 1, 2))
    assert pipeline.random and first.shape == (3, 60, 80) and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("options, message", [
    ({"prob": 1.5}, "prob must lie between 0 and 1"), ({"scale": [0, 0.3]}, "scale must be"),
    ({"scale": [0.5, 0.3]}, "scale must"),
    ({"ratio": [0, 1]}, "ratio must be"), ({"mean": [124, 116, 104]}, "each value of mean must lie between 0 and 1"),
    ({"std": [0, 1, 1]}, "each value of std must be a number above 0"), ({"EPSILON": 0.5}, "has no option 'EPSILON'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_transforms(["DecodeImage", {"RandomErasing": options}], "ops")
