"""AutoAugment: pairs of image operations that a search found to help on ImageNet."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageEnhance

from ..checks import fraction, one_of
from ..errors import InputError
from . import tones
from .tones import Toned
from .transforms import TRANSFORMS, Transform

_STRONGEST = 9                  # levels run from 0 to 9
_GREY = (128, 128, 128)         # for what a shifted or turned picture leaves open

IMAGENET_POLICY = (             # sub-policies of (operation, probability, level)
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 4), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 7)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 2)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 8), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 2)),
    (("Equalize", 0.0, 7), ("Equalize", 0.8, 8)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 8)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 9)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 3)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
)


@TRANSFORMS.register
class AutoAugment(Transform):
    """One sub-policy, drawn uniformly, on a uint8 [H, W, 3] RGB image: each of its operations with its probability.

    The ten levels of an operation divide its range evenly, and a higher level is always the stronger effect. The sign
    of a shear, shift, rotation or enhancement is drawn for each image. What a moved picture leaves open is grey. Pixels
    are those of Pillow's operations, to the bit; what is a function of single values is done by tables.

    Args:
        policy: sub-policies, lists of [operation, probability, level 0 to 9]; by default the 25 found on ImageNet.

    Raises:
        InputError: an empty policy, or an entry that is none of the above.

    Source: Cubuk et al., "AutoAugment: Learning Augmentation Strategies from Data", arXiv:1805.09501: ranges and
    ImageNet policy in the appendix. It leaves open which end of a range is level 0, and how the factors 0.1 to 1.9 of
    the enhancements follow from a level; here they are 1 +- 0.1 level, as in PaddleClas, SSLD's home.
    """

    random = True

    def __init__(self, policy: Sequence = IMAGENET_POLICY):
        self.policy = [[_step(entry) for entry in _filled(sub_policy)] for sub_policy in _filled(policy)]

    def __call__(self, image, rng):
        picture = Toned(image)
        for operation, probability, magnitude in self.policy[rng.integers(len(self.policy))]:
            if rng.random() < probability:
                sign = -1 if operation.signed and rng.random() < 0.5 else 1
                picture = operation.apply(picture, sign * magnitude)
        return picture


class _Operation(NamedTuple):
    """What an operation does to a picture, its magnitude at levels 0 and 9, and whether its sign is drawn."""

    apply: Callable[[Toned, float], Toned]
    weakest: float = 0.0
    strongest: float = 0.0
    signed: bool = False


def _filled(value) -> Sequence:
    """`value` if it is a list with something in it."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError("policy: expected a list of sub-policies such as [[Rotate, 0.6, 9], [Equalize, 1.0, 0]], "
                         f"found {value!r}.")
    return value


def _step(entry) -> tuple[_Operation, float, float]:
    """(operation, probability, magnitude) of a policy's [name, probability, level]."""
    if not isinstance(entry, (list, tuple)) or len(entry) != 3:
        raise InputError(f"policy: expected [operation, probability, level], found {entry!r}.")
    name, probability, level = entry
    operation = one_of("operation", name, _OPERATIONS)
    if level not in range(_STRONGEST + 1):
        raise InputError(f"policy: the level of {name} must be a whole number from 0 to {_STRONGEST}, not {level!r}.")
    magnitude = operation.weakest + (operation.strongest - operation.weakest) * level / _STRONGEST
    return operation, fraction(f"the probability of {name}", probability), magnitude


def _image(picture: Toned) -> Image.Image:
    return Image.fromarray(np.asarray(picture))


def _with_pillow(change: Callable[[Image.Image, float], Image.Image]) -> Callable[[Toned, float], Toned]:
    return lambda picture, magnitude: Toned(np.asarray(change(_image(picture), magnitude)))


def _affine(matrix: Callable[[float, int, int], Sequence[float]]) -> Callable[[Toned, float], Toned]:
    """The picture whose point (x, y) shows (a x + b y + c, d x + e y + f) of the original.

    Args:
        matrix: magnitude, width and height to a, b, c, d, e, f.
    """
    return _with_pillow(lambda image, magnitude: image.transform(
        image.size, Image.Transform.AFFINE, matrix(magnitude, *image.size), fillcolor=_GREY))


def _table(values: Callable[[float], np.ndarray]) -> Callable[[Toned, float], Toned]:
    """The picture after the same table for all three channels."""
    return lambda picture, magnitude: picture.through(values(magnitude))


def _tables(values: Callable[[np.ndarray], np.ndarray]) -> Callable[[Toned, float], Toned]:
    """The picture after a table for each channel, made from the counts of its values."""
    return lambda picture, _: picture.through(values(picture.counts()))


def _sharpness(picture: Toned, gain: float) -> Toned:
    image = np.asarray(picture)
    smooth = cv2.filter2D(image, -1, _SMOOTH)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):       # as Pillow leaves them
        smooth[edge] = image[edge]
    return Toned(np.asarray(Image.blend(Image.fromarray(smooth), Image.fromarray(image), 1 + gain)))


_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
_LONGEST_SHIFT = 150 / 331      # of a side: the paper's 150 pixels, for its images of 331
_OPERATIONS = {
    "ShearX": _Operation(_affine(lambda slope, width, height: (1, slope, 0, 0, 1, 0)), 0, 0.3, True),
    "ShearY": _Operation(_affine(lambda slope, width, height: (1, 0, 0, slope, 1, 0)), 0, 0.3, True),
    "TranslateX": _Operation(_affine(lambda share, width, height: (1, 0, share * width, 0, 1, 0)), 0, _LONGEST_SHIFT, True),
    "TranslateY": _Operation(_affine(lambda share, width, height: (1, 0, 0, 0, 1, share * height)), 0, _LONGEST_SHIFT, True),
    "Rotate": _Operation(_with_pillow(lambda image, degrees: image.rotate(degrees, fillcolor=_GREY)), 0, 30, True),
    "Color": _Operation(_with_pillow(lambda image, gain: ImageEnhance.Color(image).enhance(1 + gain)), 0, 0.9, True),
    "Contrast": _Operation(lambda picture, gain: picture.through(tones.blended(picture.mean_grey(), 1 + gain)), 0, 0.9,
                           True),
    "Brightness": _Operation(_table(lambda gain: tones.blended(0, 1 + gain)), 0, 0.9, True),
    "Sharpness": _Operation(_sharpness, 0, 0.9, True),
    "Posterize": _Operation(_table(tones.posterized), 8, 4),
    "Solarize": _Operation(_table(tones.solarized), 256, 0),
    "AutoContrast": _Operation(_tables(tones.stretched)),
    "Equalize": _Operation(_tables(tones.equalized)),
    "Invert": _Operation(_table(lambda _: tones.VALUES[::-1])),
}
