from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from ssld.data import decode
from ssld.data.random_resized_crop import RandomResizedCrop
from ssld.data.replay import Replay
from ssld.data.transforms import build_transforms
from ssld.errors import InputError


def rng(seed=0):
    return np.random.default_rng(seed)


def rule(columns, rows, generator, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3)):
    """left, top, width, height by torchvision's rule, written as its loop; the draws come in the order of ours."""
    draws = generator.random(23)
    for attempt in range(10):
        area = columns * rows * (scale[0] + (scale[1] - scale[0]) * draws[2 * attempt])
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * draws[2 * attempt + 1])
        width, height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < width <= columns and 0 < height <= rows:
            return int(draws[21] * (columns - width + 1)), int(draws[20] * (rows - height + 1)), width, height
    width, height = columns, rows
    if columns / rows < ratio[0]:
        height = round(width / ratio[0])
    elif columns / rows > ratio[1]:
        width = round(height * ratio[1])
    return (columns - width) // 2, (rows - height) // 2, width, height


@pytest.mark.parametrize("columns, rows", [(90, 67), (40, 300), (300, 20), (5, 5), (1, 1)])
def test_the_pixels_are_the_box_of_the_rule_resized_by_pillow_with_a_drawn_filter(columns, rows):
    image, crop, met = rng(1).integers(0, 256, (rows, columns, 3), dtype=np.uint8), RandomResizedCrop([12, 9]), set()
    for seed in range(40):
        generator = rng(seed)
        left, top, width, height = rule(columns, rows, generator)
        resample = (Image.BILINEAR, Image.BICUBIC)[generator.integers(2)]
        box = Image.fromarray(image[top:top + height, left:left + width])
        np.testing.assert_array_equal(crop(image, rng(seed)), np.asarray(box.resize((12, 9), resample)))
        met.add(resample)
    assert len(met) == 2


def test_a_named_filter_is_used_for_every_image():
    image = rng(1).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    crop = RandomResizedCrop(16, scale=[1.0, 1.0], ratio=[1.2, 1.2], interpolation="bicubic")
    expected = np.asarray(Image.fromarray(image).resize((16, 16), Image.BICUBIC))
    for seed in range(8):
        np.testing.assert_array_equal(crop(image, rng(seed)), expected)


def test_a_jpeg_file_is_decoded_as_far_as_the_crop_reaches_with_the_same_pixels(tmp_path):
    smooth = cv2.resize(rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8), (90, 67))
    cv2.imwrite(str(tmp_path / "photograph.jpg"), smooth)
    encoded = (tmp_path / "photograph.jpg").read_bytes()
    whole, crop = cv2.imread(str(tmp_path / "photograph.jpg"))[:, :, ::-1], RandomResizedCrop(24)
    for seed in range(10):
        lazy = decode.JpegPicture(encoded, decode.ordinary_jpeg(encoded))
        np.testing.assert_array_equal(crop(lazy, rng(seed)), crop(np.ascontiguousarray(whole), rng(seed)))


def test_areas_are_uniform_and_aspects_log_uniform_where_every_crop_fits():
    draws = [rule(4000, 4000, rng(seed), scale=(0.1, 0.3)) for seed in range(3000)]
    area = np.array([width * height / 4000 ** 2 for *_, width, height in draws])
    aspect = np.array([math.log(width / height) for *_, width, height in draws])
    assert abs(area.mean() - 0.2) < 0.006 and abs(aspect.mean()) < 0.02         # five standard errors


def test_stored_crops_do_not_take_its_place():
    with pytest.raises(InputError, match="stored crops take the place of RandCropImage"):
        Replay(build_transforms(["DecodeImage", {"RandomResizedCrop": {"size": 8}}, "ToCHWImage"], "ops"))


@pytest.mark.parametrize("options, message", [
    ({"size": 0}, "size must be a number above 0"), ({"size": 8, "scale": [0.5, 0.1]}, "scale must be .low, high."),
    ({"size": 8, "ratio": [0, 1]}, "ratio must be .low, high."), ({"size": 8, "interpolation": "bilinea"}, "Did you mean"),
    ({"size": 8, "backend": "PIL"}, "backend cannot be 'PIL'"), ({}, "needs the option 'size'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_transforms(["DecodeImage", {"RandomResizedCrop": options}], "ops")
