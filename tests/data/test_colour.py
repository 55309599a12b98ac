"""ColorJitter and Lighting against Pillow, Paddle and the formula."""
from __future__ import annotations

import itertools

import numpy as np
import pytest
from paddle.vision.transforms import functional as paddle_functional
from PIL import Image, ImageEnhance

from ssld.data.colour import ColorJitter, Lighting
from ssld.data.tones import Toned
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

ENHANCE = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}


def picture(seed=0, height=31, width=44):
    image = np.random.default_rng(seed).integers(20, 220, (height, width, 3))
    return np.clip(image + np.linspace(-60, 60, width)[None, :, None] * [1, 0, -1], 0, 255).astype(np.uint8)


def enhanced(image, name, factor):
    pillow = Image.fromarray(image)
    return np.asarray(paddle_functional.adjust_hue(pillow, factor) if name == "hue" else ENHANCE[name](pillow).enhance(factor))


def jittered(image, seed=0, **options):
    return np.asarray(ColorJitter(**options)(image, np.random.default_rng(seed)))


@pytest.mark.parametrize("name, factors", [("brightness", (0, 0.3, 1.6)), ("contrast", (0, 0.6, 1.4)),
                                           ("saturation", (0, 0.6, 1.4)), ("hue", (-0.5, -0.13, 0.001, 0.25, 0.4999))])
def test_each_change_is_that_of_pillow(name, factors):
    for factor in factors:
        found = jittered(picture(), **{name: [factor, factor]})
        np.testing.assert_array_equal(found, enhanced(picture(), name, factor))


def test_the_changes_come_in_every_order():
    options = {"brightness": [0.5, 0.5], "contrast": [1.9, 1.9], "saturation": [0.2, 0.2],
               "hue": [0.3, 0.3]}
    expected = {}
    for order in itertools.permutations(options):
        image = picture()
        for name in order:
            image = enhanced(image, name, options[name][0])
        expected[image.tobytes()] = order
    seen = {expected[jittered(picture(), seed, **options).tobytes()] for seed in range(250)}    # KeyError: no order gives it
    assert len(seen) == len(set(expected.values())) >= 20


@pytest.mark.parametrize("name, value, low, high", [("brightness", 0.4, 0.6, 1.4), ("brightness", 2, 0, 3),
                                                    ("brightness", [0.2, 0.3], 0.2, 0.3)])
def test_factors_fill_their_range_evenly(name, value, low, high):
    image = np.full((2, 2, 3), 80, np.uint8)                    # 80 times the factor, rounded down
    found = np.array([jittered(image, seed, **{name: value})[0, 0, 0] for seed in range(1500)]) / 80
    assert abs(found.min() - low) < 0.03 and abs(found.max() - high) < 0.03
    assert abs(found.mean() - (low + high) / 2) < 0.13 * (high - low) / 2 + 0.01       # 4 standard errors, and rounding


def test_without_a_range_nothing_happens_and_with_p_half_of_the_images_are_spared():
    np.testing.assert_array_equal(jittered(picture()), picture())
    spared = [np.array_equal(jittered(picture(), seed, brightness=0.5, p=0.5), picture()) for seed in range(400)]
    assert 150 < sum(spared) < 250


def test_tables_of_an_operator_before_are_not_lost():
    toned = Toned(picture()).through(np.arange(255, -1, -1, dtype=np.uint8))
    options = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
    for seed in range(6):
        ours, plain = (np.random.default_rng(seed) for _ in range(2))
        np.testing.assert_array_equal(np.asarray(ColorJitter(**options)(toned, ours)),
                                      np.asarray(ColorJitter(**options)(np.asarray(toned), plain)))


@pytest.mark.parametrize("options, message", [
    ({"brightness": -0.1}, "brightness must be a number of at least 0"), ({"hue": 0.6}, "hue must be .* within -0.5 to 0.5"),
    ({"contrast": [1.2, 0.8]}, r"contrast must be a number or \[low, high\] of at least 0"), ({"p": 2}, "p must lie"),
    ({"saturation": [-1, 1]}, "saturation must be"), ({"hue": "red"}, "hue must be a number")])
def test_a_range_that_is_none_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        ColorJitter(**options)


def test_lighting_adds_one_colour_of_the_right_spread():
    image = np.full((3, 4, 3), 128, np.uint8)
    shifts = []
    for seed in range(3000):
        found = np.asarray(Lighting(0.1)(image, np.random.default_rng(seed))).astype(int) - 128
        assert (found == found[0, 0]).all()
        shifts.append(found[0, 0] / 255)
    vectors = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    expected = 0.01 * vectors @ np.diag(np.array([0.2175, 0.0188, 0.0045]) ** 2) @ vectors.T
    # rounding adds 1/12 of a squared step to the variances
    np.testing.assert_allclose(np.cov(np.transpose(shifts)), expected + np.eye(3) / 12 / 255 ** 2, atol=0.12 * expected.max())
    assert np.abs(np.mean(shifts, 0)).max() < 0.002


def test_lighting_is_cut_off_and_0_changes_nothing():
    image = picture()
    np.testing.assert_array_equal(np.asarray(Lighting(0)(image, np.random.default_rng(0))), image)
    strong = np.asarray(Lighting(50)(image, np.random.default_rng(0))).astype(int) - image
    for channel in range(3):                                    # one direction each: nothing wrapped around
        assert (strong[:, :, channel] >= 0).all() or (strong[:, :, channel] <= 0).all()


def test_both_stand_in_a_list_of_operators_and_follow_the_generator(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    pipeline = build_transforms(["DecodeImage", {"RandCropImage": {"size": 16}},
                                 {"ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}},
                                 {"Lighting": {"alphastd": 0.1}}, "NormalizeImage", "ToCHWImage"], "here")
    first, second, other = (pipeline(tmp_path / "a.png", np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 16, 16) and (first != other).any() and pipeline.random
    assert not any(operator.geometric for operator in pipeline.operators[2:4])
