from __future__ import annotations

import numpy as np
import pytest

from ssld.data.random_crop import RandomCropImage
from ssld.data.transforms import build_transforms
from ssld.errors import InputError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(1, 256, (32, 32, 3), dtype=np.uint8)


def test_all_places_occur_equally_often_and_the_border_is_black(image):
    padded = np.zeros((40, 40, 3), np.uint8)
    padded[4:36, 4:36] = image
    places = {padded[y:y + 32, x:x + 32].tobytes(): (y, x) for y in range(9) for x in range(9)}
    crop = RandomCropImage(32, padding=4)
    met = np.zeros((9, 9), int)
    for seed in range(2000):
        met[places[crop(image, np.random.default_rng(seed)).tobytes()]] += 1
    assert abs(met - 2000 / 81).max() < 25              # five standard deviations of 4.9


def test_without_a_border_and_with_another_size(image):
    assert RandomCropImage([12, 7])(image, np.random.default_rng(0)).shape == (7, 12, 3)
    np.testing.assert_array_equal(RandomCropImage(32)(image, np.random.default_rng(0)), image)


def test_an_image_that_is_too_small_is_refused(image):
    with pytest.raises(InputError, match="a crop of 41 x 41 does not fit into an image of 40 x 40, border included"):
        RandomCropImage(41, padding=4)(image, np.random.default_rng(0))


@pytest.mark.parametrize("options, message", [
    ({}, "needs the option 'size'"), ({"size": 8, "padding": -1}, "padding cannot be -1"), ({"size": 0}, "size must be"),
    ({"size": 8, "padding": 1.5}, "padding must be")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_transforms(["DecodeImage", {"RandomCropImage": options}], "ops")
