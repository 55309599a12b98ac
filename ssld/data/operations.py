"""The image operations that AutoAugment and RandAugment draw from, each with one magnitude.

Pixels are those of Pillow's operations, to the bit; what is a function of single values is done by tables.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from . import tones
from .tones import Toned


class Moving(NamedTuple):
    """How operations that move pixels fill the new picture.

    Attributes:
        fill: colour of what the moved picture leaves open, three values from 0 to 255.
        resample: Pillow's filter between pixels.
    """

    fill: tuple[int, int, int] = (128, 128, 128)
    resample: int = Image.Resampling.NEAREST


Operation = Callable[[Toned, float, Moving], Toned]


def _with_pillow(change: Callable[[Image.Image, float, Moving], Image.Image]) -> Operation:
    return lambda picture, magnitude, moving: Toned(np.asarray(change(Image.fromarray(np.asarray(picture)), magnitude, moving)))


def _affine(matrix: Callable[[float, int, int], Sequence[float]]) -> Operation:
    """The picture whose point (x, y) shows (a x + b y + c, d x + e y + f) of the original.

    Args:
        matrix: magnitude, width and height to a, b, c, d, e, f.
    """
    return _with_pillow(lambda image, magnitude, moving: image.transform(
        image.size, Image.Transform.AFFINE, matrix(magnitude, *image.size), resample=moving.resample, fillcolor=moving.fill))


def _table(values: Callable[[float], np.ndarray]) -> Operation:
    """The picture after the same table for all three channels."""
    return lambda picture, magnitude, _: picture.through(values(magnitude))


def _tables(values: Callable[[np.ndarray], np.ndarray]) -> Operation:
    """The picture after a table for each channel, made from the counts of its values."""
    return lambda picture, *_: picture.through(values(picture.counts()))


def _contrast(picture: Toned, factor: float, _: Moving) -> Toned:
    return picture.through(tones.blended(picture.mean_grey(), factor))


def _sharpness(picture: Toned, factor: float, _: Moving) -> Toned:
    image = np.asarray(picture)
    smooth = cv2.filter2D(image, -1, _SMOOTH)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):       # as Pillow leaves them
        smooth[edge] = image[edge]
    return Toned(np.asarray(Image.blend(Image.fromarray(smooth), Image.fromarray(image), factor)))


_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
OPERATIONS: dict[str, Operation] = {                # of enhancements the magnitude is the factor, 1 for none
    "ShearX": _affine(lambda slope, width, height: (1, slope, 0, 0, 1, 0)),
    "ShearY": _affine(lambda slope, width, height: (1, 0, 0, slope, 1, 0)),
    "TranslateX": _affine(lambda share, width, height: (1, 0, share * width, 0, 1, 0)),
    "TranslateY": _affine(lambda share, width, height: (1, 0, 0, 0, 1, share * height)),
    "Rotate": _with_pillow(lambda image, degrees, moving: image.rotate(degrees, moving.resample, fillcolor=moving.fill)),
    "Color": _with_pillow(lambda image, factor, _: ImageEnhance.Color(image).enhance(factor)),
    "Contrast": _contrast,
    "Brightness": _table(lambda factor: tones.blended(0, factor)),
    "Sharpness": _sharpness,
    "Posterize": _table(tones.posterized),          # bits that are kept
    "Solarize": _table(tones.solarized),            # threshold
    "SolarizeAdd": _table(tones.brightened_below_half),
    "AutoContrast": _tables(tones.stretched),
    "Equalize": _tables(tones.equalized),
    "Invert": _table(lambda _: tones.VALUES[::-1]),
}
