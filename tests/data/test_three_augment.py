from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from ssld.data.three_augment import ThreeAugment
from ssld.data.transforms import build_transforms
from ssld.errors import InputError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def expected(image, seed, radius=(0.1, 2.0)):
    """The same three with Pillow's own functions; and which of them."""
    generator, picture = rng(seed), Image.fromarray(image)
    which = generator.integers(3)
    if which == 0:
        return which, ImageOps.grayscale(picture).convert("RGB")
    if which == 1:
        return which, ImageOps.solarize(picture)
    return which, picture.filter(ImageFilter.GaussianBlur(generator.uniform(*radius)))


def test_the_pixels_are_those_of_pillow_and_each_of_the_three_is_as_likely(image):
    counts = np.zeros(3, int)
    for seed in range(300):
        which, result = expected(image, seed)
        np.testing.assert_array_equal(np.asarray(ThreeAugment()(image, rng(seed))), np.asarray(result))
        counts[which] += 1
    assert abs(counts - 100).max() < 41                 # five standard deviations of 8.2


def test_no_image_stays_as_it_is(image):
    assert all((np.asarray(ThreeAugment()(image, rng(seed))) != image).any() for seed in range(60))


def test_the_radius_of_the_blur_is_what_was_asked_for(image):
    for seed in range(30):
        result = np.asarray(ThreeAugment([3.0, 4.0])(image, rng(seed)))
        np.testing.assert_array_equal(result, np.asarray(expected(image, seed, (3.0, 4.0))[1]))


def test_jitter_and_normalisation_follow(image, tmp_path):
    Image.fromarray(image).save(tmp_path / "noise.png")
    jitter = {"ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}}
    pipeline = build_transforms(["DecodeImage", "ThreeAugment", jitter, "NormalizeImage", "ToCHWImage"], "ops")
    assert pipeline.random and pipeline(tmp_path / "noise.png", rng()).shape == (3, 30, 41)


@pytest.mark.parametrize("radius", [[2.0, 0.1], [0, 1], [1.0], "1", 1.0])
def test_a_radius_that_is_no_range_is_refused(radius):
    with pytest.raises(InputError, match="radius must be"):
        build_transforms(["DecodeImage", {"ThreeAugment": {"radius": radius}}], "ops")
