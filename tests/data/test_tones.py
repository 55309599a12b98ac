from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ssld.data import tones
from ssld.data.tones import VALUES, Toned


def picture(seed=0, height=19, width=23):
    """Three channels of different ranges, not all of whose values occur."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return (image // [1, 2, 5] + [0, 60, 100]).clip(0, 255).astype(np.uint8)


PICTURES = {"noise": picture(), "one colour": np.full((5, 6, 3), (0, 7, 255), np.uint8), "one pixel": picture(1, 1, 1),
            "two values": np.where(picture() > 120, 200, 90).astype(np.uint8),
            "large": cv2.GaussianBlur(picture(2, 300, 400), (7, 7), 2)}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("table, function", [(tones.equalized, ImageOps.equalize), (tones.stretched, ImageOps.autocontrast)])
def test_tables_made_of_counts_are_those_of_pillow(name, table, function):
    image = PICTURES[name]
    result = np.asarray(Toned(image).through(table(Toned(image).counts())))
    assert np.array_equal(result, np.asarray(function(Image.fromarray(image))))


@pytest.mark.parametrize("seed", range(30))
def test_tables_of_any_counts_are_those_of_pillow(seed):
    """Histograms that pictures seldom have: few values, one of them much more frequent than the others."""
    rng = np.random.default_rng(seed)
    values = rng.choice(256, rng.integers(1, 6), replace=False)
    image = rng.choice(values, (40, 40, 3), p=rng.dirichlet(np.full(len(values), 0.3))).astype(np.uint8)
    for table, function in ((tones.equalized, ImageOps.equalize), (tones.stretched, ImageOps.autocontrast)):
        result = np.asarray(Toned(image).through(table(Toned(image).counts())))
        assert np.array_equal(result, np.asarray(function(Image.fromarray(image))))


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.3, 0.999, 1.0, 1.1, 1.7, 1.9])
def test_blending_with_black_and_with_the_mean_is_that_of_pillow(factor):
    column = Image.fromarray(np.repeat(VALUES[:, None, None], 3, 2))
    assert np.array_equal(tones.blended(0, factor), np.asarray(ImageEnhance.Brightness(column).enhance(factor))[:, 0, 0])
    assert np.array_equal(tones.blended(128, factor), np.asarray(ImageEnhance.Contrast(column).enhance(factor))[:, 0, 0])


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterizing_is_that_of_pillow(bits):
    assert np.array_equal(tones.posterized(bits), np.asarray(ImageOps.posterize(Image.fromarray(VALUES[None]), bits))[0])


@pytest.mark.parametrize("threshold", [0, 1, 28.4, 128, 255, 256])
def test_solarizing_is_that_of_pillow(threshold):
    expected = ImageOps.solarize(Image.fromarray(VALUES[None]), threshold)
    assert np.array_equal(tones.solarized(threshold), np.asarray(expected)[0])


def test_tables_one_after_another_are_applied_in_their_order():
    first, second = tones.posterized(3), np.stack([VALUES[::-1], tones.solarized(100), tones.blended(0, 0.5)])
    toned, expected = Toned(picture()).through(first).through(second), picture()
    for channel in range(3):
        expected[:, :, channel] = second[channel][first[expected[:, :, channel]]]
    assert np.array_equal(np.asarray(toned), expected)


def test_counts_are_those_of_the_image_after_its_tables():
    before = Toned(picture())
    for toned in (before, before.through(tones.posterized(4)), Toned(picture()).through(tones.posterized(4)),
                  before.through(tones.posterized(4)).through(VALUES[::-1])):
        pixels = np.asarray(toned)
        expected = [np.bincount(pixels[:, :, channel].ravel(), minlength=256) for channel in range(3)]
        assert np.array_equal(toned.counts(), expected)


def test_the_image_itself_does_not_change():
    image = picture()
    np.asarray(Toned(image).through(VALUES[::-1]))
    assert np.array_equal(image, picture())
