"""AutoAugment the usual way, one Pillow function per operation: what benchmarks/reading.py compares with.

Kept apart from ssld.data.autoaugment so that it stays as slow as it is. It draws in the same order.
"""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from ssld.data.autoaugment import IMAGENET_POLICY

GREY = (128, 128, 128)


def affine(image, *matrix):
    return image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=GREY)


OPERATIONS = {                  # function, magnitude at level 0, at level 9, is the sign drawn?
    "ShearX": (lambda image, slope: affine(image, 1, slope, 0, 0, 1, 0), 0, 0.3, True),
    "Rotate": (lambda image, degrees: image.rotate(degrees, fillcolor=GREY), 0, 30, True),
    "Color": (lambda image, gain: ImageEnhance.Color(image).enhance(1 + gain), 0, 0.9, True),
    "Contrast": (lambda image, gain: ImageEnhance.Contrast(image).enhance(1 + gain), 0, 0.9, True),
    "Sharpness": (lambda image, gain: ImageEnhance.Sharpness(image).enhance(1 + gain), 0, 0.9, True),
    "Posterize": (lambda image, bits: ImageOps.posterize(image, round(bits)), 8, 4, False),
    "Solarize": (lambda image, threshold: ImageOps.solarize(image, threshold), 256, 0, False),
    "AutoContrast": (lambda image, _: ImageOps.autocontrast(image), 0, 0, False),
    "Equalize": (lambda image, _: ImageOps.equalize(image), 0, 0, False),
    "Invert": (lambda image, _: ImageOps.invert(image), 0, 0, False),
}


def plain_autoaugment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """uint8 [H, W, 3] RGB to the same."""
    picture = Image.fromarray(image)
    for name, probability, level in IMAGENET_POLICY[rng.integers(len(IMAGENET_POLICY))]:
        function, weakest, strongest, signed = OPERATIONS[name]
        if rng.random() < probability:
            sign = -1 if signed and rng.random() < 0.5 else 1
            picture = function(picture, sign * (weakest + (strongest - weakest) * level / 9))
    return np.array(picture)
