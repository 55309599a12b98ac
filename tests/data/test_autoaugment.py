"""AutoAugment: each operation against numpy, and who is drawn how often."""
import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ssld.data.autoaugment import IMAGENET_POLICY, AutoAugment
from ssld.data.tones import Toned
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

GREY = 128


def picture(height=40, width=56, seed=0):
    """Uneven brightness per channel, so that every operation shows."""
    image = np.random.default_rng(seed).integers(20, 220, (height, width, 3))
    return np.clip(image + np.linspace(-15, 30, width)[None, :, None], 0, 255).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def augmenting(policy=IMAGENET_POLICY):
    """The transform, with its work done."""
    transform = AutoAugment(policy)
    return lambda image, generator: np.asarray(transform(image, generator))


def only(name, level):
    """The transform that always applies one operation."""
    return augmenting([[[name, 1.0, level]]])


def luma(image):
    """Pillow's grey value, ITU-R 601 weights."""
    return image.astype(np.float64) @ [0.299, 0.587, 0.114]


def blended(degenerate, image, factor):
    return np.clip(degenerate + factor * (image.astype(np.float64) - degenerate), 0, 255)


def seen_through(image, matrix):
    """Nearest neighbour: the pixel (x, y) shows the original at matrix (x + 0.5, y + 0.5), grey outside."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] + 0.5
    a, b, c, d, e, f = matrix
    column, row = np.floor(a * x + b * y + c).astype(int), np.floor(d * x + e * y + f).astype(int)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    result = np.full_like(image, GREY)
    result[inside] = image[row[inside], column[inside]]
    return result


def rotation(degrees, height, width):
    """Counter-clockwise about the centre, as the map from result to original."""
    cos, sin, x, y = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), width / 2, height / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


def equalized(channel):
    """Histogram equalisation with whole counts: as many pixels per new value as possible."""
    histogram = np.bincount(channel.ravel(), minlength=256)
    step = (histogram.sum() - histogram[histogram > 0][-1]) // 255
    table = (step // 2 + np.concatenate([[0], np.cumsum(histogram)[:-1]])) // step
    return np.clip(table, 0, 255)[channel]


def smoothed(image):
    """Weights 5 in the centre and 1 around it, over 13; the border stays."""
    result = image.astype(np.float64)
    rows, columns = image.shape[:2]
    around = sum(result[i:rows - 2 + i, j:columns - 2 + j] for i in range(3) for j in range(3))
    result[1:-1, 1:-1] = (around + 4 * result[1:-1, 1:-1]) / 13
    return result


def agrees(result, *expected, tolerance=0):
    """Whether the result is one of the expected images (two, where a sign is drawn), up to rounding."""
    return min(np.abs(result.astype(float) - e).max() for e in expected) <= tolerance


def transformed(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=(GREY,) * 3)


PILLOW = {                      # the operation, its magnitude at levels 0 and 9, and whether it has a sign
    "ShearX": (lambda image, slope: transformed(image, 1, slope, 0, 0, 1, 0), 0, 0.3, True),
    "ShearY": (lambda image, slope: transformed(image, 1, 0, 0, slope, 1, 0), 0, 0.3, True),
    "TranslateX": (lambda image, share: transformed(image, 1, 0, share * image.width, 0, 1, 0), 0, 150 / 331, True),
    "TranslateY": (lambda image, share: transformed(image, 1, 0, 0, 0, 1, share * image.height), 0, 150 / 331, True),
    "Rotate": (lambda image, degrees: image.rotate(degrees, fillcolor=(GREY,) * 3), 0, 30, True),
    "Color": (lambda image, gain: ImageEnhance.Color(image).enhance(1 + gain), 0, 0.9, True),
    "Contrast": (lambda image, gain: ImageEnhance.Contrast(image).enhance(1 + gain), 0, 0.9, True),
    "Brightness": (lambda image, gain: ImageEnhance.Brightness(image).enhance(1 + gain), 0, 0.9, True),
    "Sharpness": (lambda image, gain: ImageEnhance.Sharpness(image).enhance(1 + gain), 0, 0.9, True),
    "Posterize": (lambda image, bits: ImageOps.posterize(image, round(bits)), 8, 4, False),
    "Solarize": (ImageOps.solarize, 256, 0, False),
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), 0, 0, False),
    "Equalize": (lambda image, _: ImageOps.equalize(image), 0, 0, False),
    "Invert": (lambda image, _: ImageOps.invert(image), 0, 0, False),
}


def by_pillow(image, steps, generator):
    """A sub-policy on a Pillow image, with the same draws."""
    for name, probability, level in steps:
        function, weakest, strongest, signed = PILLOW[name]
        if generator.random() < probability:
            sign = -1 if signed and generator.random() < 0.5 else 1
            image = function(image, sign * (weakest + (strongest - weakest) * level / 9))
    return image


@pytest.mark.parametrize("level", range(10))
@pytest.mark.parametrize("name", PILLOW)
def test_the_pixels_are_those_of_pillow(name, level):
    for seed, size in enumerate([(40, 56), (41, 33), (3, 3), (2, 7), (1, 1)]):
        image = picture(*size, seed)
        result, expected = only(name, level)(image, rng(seed)), rng(seed)
        expected.integers(1)
        assert np.array_equal(result, np.asarray(by_pillow(Image.fromarray(image), [(name, 1.0, level)], expected)))


def test_pairs_of_operations_have_the_pixels_of_pillow_and_draw_as_often():
    """All pairs of operations, so that tables come before, after and between what moves and mixes pixels."""
    image = picture(24, 31)
    for number, first in enumerate(PILLOW):
        for second in PILLOW:
            for steps in ([(first, 0.7, 6), (second, 0.9, 7)], [(first, 1.0, 5), (second, 1.0, 8), (first, 1.0, 4)]):
                ours, plain = rng(number), rng(number)
                result = augmenting([steps])(image, ours)
                plain.integers(1)
                assert np.array_equal(result, np.asarray(by_pillow(Image.fromarray(image), steps, plain))), steps
                assert ours.random() == plain.random()


def test_invert_turns_every_value_round():
    assert agrees(only("Invert", 0)(picture(), rng()), 255 - picture())


@pytest.mark.parametrize("level, threshold", [(0, 256), (3, 256 * 6 / 9), (9, 0)])
def test_solarize_inverts_what_reaches_the_threshold(level, threshold):
    image = picture()
    assert agrees(only("Solarize", level)(image, rng()), np.where(image < threshold, image, 255 - image))


@pytest.mark.parametrize("level, bits", [(0, 8), (5, 6), (6, 5), (8, 4), (9, 4)])
def test_posterize_keeps_the_leading_bits(level, bits):
    image = picture()
    assert agrees(only("Posterize", level)(image, rng()), image >> (8 - bits) << (8 - bits))


def test_autocontrast_stretches_each_channel_to_the_whole_range():
    image = (picture() // 2 + 30).astype(np.float64)
    low, high = image.min((0, 1)), image.max((0, 1))
    result = only("AutoContrast", 0)(image.astype(np.uint8), rng())
    assert agrees(result, (image - low) * 255 / (high - low), tolerance=1)      # truncated, not rounded


def test_equalize_spreads_each_channel():
    image = picture(80, 90) // 3 + 50
    assert agrees(only("Equalize", 0)(image, rng()), np.stack([equalized(image[:, :, c]) for c in range(3)], -1))


# The tolerance of the enhancements is the rounding of the grey image or mean (up to 0.5, times 0.9) and of the result.
@pytest.mark.parametrize("level", [0, 4, 9])
@pytest.mark.parametrize("name, degenerate", [
    ("Color", lambda image: luma(image)[:, :, None]),
    ("Contrast", lambda image: np.full(image.shape, luma(image).mean())),
    ("Brightness", lambda image: np.zeros(image.shape)),
    ("Sharpness", smoothed),
])
def test_an_enhancement_blends_with_its_degenerate_image(name, degenerate, level):
    image = picture()
    expected = [blended(degenerate(image), image, 1 + sign * 0.1 * level) for sign in (-1, 1)]
    assert agrees(only(name, level)(image, rng()), *expected, tolerance=2)


@pytest.mark.parametrize("level", [0, 5, 9])
@pytest.mark.parametrize("name, matrix", [
    ("ShearX", lambda part: (1, 0.3 * part, 0, 0, 1, 0)),
    ("ShearY", lambda part: (1, 0, 0, 0.3 * part, 1, 0)),
    ("TranslateX", lambda part: (1, 0, 150 / 331 * 56 * part, 0, 1, 0)),
    ("TranslateY", lambda part: (1, 0, 0, 0, 1, 150 / 331 * 40 * part)),
    ("Rotate", lambda part: rotation(30 * part, 40, 56)),
])
def test_a_geometric_operation_moves_pixels_and_leaves_grey(name, matrix, level):
    image = picture()
    result = only(name, level)(image, rng())
    expected = [seen_through(image, matrix(sign * level / 9)) for sign in (-1, 1)]
    # Pillow counts in 1/65536 of a pixel, so points on a pixel's edge may fall to either side
    assert min(np.any(result != e, axis=-1).mean() for e in expected) < 0.01


@pytest.mark.parametrize("name", ["ShearX", "Rotate", "Color"])
def test_both_signs_are_drawn_equally_often(name):
    image, augment = picture(16, 16), only(name, 9)
    results = [augment(image, rng(seed)).tobytes() for seed in range(200)]
    assert len(set(results)) == 2
    assert 65 <= results.count(results[0]) <= 135       # 100 expected, five standard deviations of 7.1


def test_equal_generators_give_equal_images():
    image, augment = picture(), augmenting()
    for seed in range(30):
        assert np.array_equal(augment(image, rng(seed)), augment(image, rng(seed)))


def test_different_generators_give_many_different_images():
    image, augment = picture(), augmenting()
    assert len({augment(image, rng(seed)).tobytes() for seed in range(60)}) > 15


def test_probability_zero_leaves_the_image_alone():
    never = [[(name, 0.0, level) for name, _, level in sub_policy] for sub_policy in IMAGENET_POLICY]
    augment = augmenting(never)
    assert all(np.array_equal(augment(picture(), rng(seed)), picture()) for seed in range(60))


def test_an_operation_is_applied_with_its_probability():
    image, augment = picture(8, 8), augmenting([[["Invert", 0.3, 0]]])
    changed = sum(not np.array_equal(augment(image, rng(seed)), image) for seed in range(1000))
    assert 225 <= changed <= 375                        # 300 expected, five standard deviations of 14.5


def test_sub_policies_are_drawn_uniformly():
    """Each of the 25 is replaced by one that leaves its own number in the image."""
    augment = AutoAugment([[["Solarize", 1.0, 9]] for _ in IMAGENET_POLICY])
    for number, sub_policy in enumerate(augment.policy):
        sub_policy[0] = sub_policy[0]._replace(apply=lambda *_, n=number: Toned(np.full((1, 1, 3), n)))
    generator = rng()
    drawn = [int(np.asarray(augment(picture(2, 2), generator))[0, 0, 0]) for _ in range(5000)]
    counts = np.bincount(drawn, minlength=25)
    assert len(counts) == 25
    assert abs(counts - 200).max() < 70                 # 200 expected, five standard deviations of 13.9


def test_both_operations_of_a_sub_policy_are_applied_in_their_order():
    image = picture()
    result = augmenting([[["Invert", 1.0, 0], ["Posterize", 1.0, 9]]])(image, rng())
    assert agrees(result, (255 - image) >> 4 << 4)


@pytest.mark.parametrize("size", [(40, 56), (1, 1), (2, 7), (224, 224)])
def test_shape_and_type_stay(size):
    image, augment = picture(*size), augmenting()
    for seed in range(40):
        result = augment(image, rng(seed))
        assert result.shape == image.shape and result.dtype == np.uint8


def test_the_input_is_not_modified():
    image, augment = picture(), augmenting()
    for seed in range(40):
        augment(image, rng(seed))
    assert np.array_equal(image, picture())


def test_the_imagenet_policy_has_25_pairs_within_the_search_space():
    assert len(IMAGENET_POLICY) == 25
    assert all(len(pair) == 2 for pair in IMAGENET_POLICY)
    steps = [step for pair in IMAGENET_POLICY for step in pair]
    assert {round(10 * probability) for _, probability, _ in steps} <= {0, 2, 4, 6, 8, 10}
    names = [name for name, _, _ in steps]
    assert {name: names.count(name) for name in names} == {
        "Equalize": 17, "Solarize": 7, "Rotate": 6, "Color": 6, "Posterize": 5, "Invert": 3, "AutoContrast": 2,
        "Contrast": 2, "Sharpness": 1, "ShearX": 1}


def test_yaml_knows_it_by_name():
    assert build_transforms(["DecodeImage", "AutoAugment"], "ops").random


def test_normalising_goes_through_the_tables_at_once_with_the_same_result():
    """What AutoAugment puts off, NormalizeImage does."""
    ops = ["DecodeImage", "AutoAugment", "NormalizeImage", "ToCHWImage"]
    augment, (_, _, normalise, planes) = AutoAugment(), build_transforms(ops, "ops").operators
    for seed in range(80):
        at_once = planes(normalise(augment(picture(), rng(seed)), None), None)
        in_turn = planes(normalise(np.asarray(augment(picture(), rng(seed))), None), None)
        assert np.array_equal(at_once, in_turn)


def test_it_sees_red_green_and_blue_in_their_order(tmp_path):
    """Color weighs the channels differently, so it would tell."""
    Image.fromarray(picture()).save(tmp_path / "picture.png")
    ops = ["DecodeImage", {"AutoAugment": {"policy": [[["Color", 1.0, 9]]]}}]
    result = build_transforms(ops, "ops")(tmp_path / "picture.png", rng())
    assert np.array_equal(result, only("Color", 9)(picture(), rng()))


@pytest.mark.parametrize("policy, message", [
    ([], "expected a list of sub-policies"),
    ([[]], "expected a list of sub-policies"),
    ("imagenet", "expected a list of sub-policies"),
    ([["Rotate", 0.5, 3]], "expected .operation, probability, level."),
    ([[["Rotat", 0.5, 3]]], "Did you mean 'Rotate'"),
    ([[["Rotate", 1.5, 3]]], "probability of Rotate must lie between 0 and 1"),
    ([[["Rotate", 0.5, 10]]], "from 0 to 9, not 10"),
    ([[["Rotate", 0.5, 2.5]]], "whole number"),
])
def test_a_wrong_policy_is_refused(policy, message):
    with pytest.raises(InputError, match=message):
        AutoAugment(policy)
