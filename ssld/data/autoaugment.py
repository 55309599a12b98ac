"""AutoAugment: pairs of image operations that a search found to help on ImageNet."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..checks import fraction, one_of
from ..errors import InputError
from .operations import OPERATIONS, Moving, Operation
from .tones import Toned
from .transforms import TRANSFORMS, Transform

_STRONGEST = 9                  # levels run from 0 to 9
_MOVING = Moving()              # grey where a shifted or turned picture leaves something open, nearest pixels

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
        for step in self.policy[rng.integers(len(self.policy))]:
            if rng.random() < step.probability:
                sign = -1 if step.range.signed and rng.random() < 0.5 else 1
                picture = step.apply(picture, step.range.centre + sign * step.distance, _MOVING)
        return picture


class _Range(NamedTuple):
    """Distance of an operation's magnitude from `centre` at levels 0 and 9, and whether its sign is drawn."""

    weakest: float = 0.0
    strongest: float = 0.0
    centre: float = 0.0
    signed: bool = False


class _Step(NamedTuple):
    """An operation of a sub-policy, how likely it is applied, and its distance from the centre of its range."""

    apply: Operation
    probability: float
    distance: float
    range: _Range


def _filled(value) -> Sequence:
    """`value` if it is a list with something in it."""
    if not isinstance(value, (list, tuple)) or not value:
        raise InputError("policy: expected a list of sub-policies such as [[Rotate, 0.6, 9], [Equalize, 1.0, 0]], "
                         f"found {value!r}.")
    return value


def _step(entry) -> _Step:
    """What a policy's [name, probability, level] means."""
    if not isinstance(entry, (list, tuple)) or len(entry) != 3:
        raise InputError(f"policy: expected [operation, probability, level], found {entry!r}.")
    name, probability, level = entry
    range_ = one_of("operation", name, _RANGES)
    if level not in range(_STRONGEST + 1):
        raise InputError(f"policy: the level of {name} must be a whole number from 0 to {_STRONGEST}, not {level!r}.")
    distance = range_.weakest + (range_.strongest - range_.weakest) * level / _STRONGEST
    return _Step(OPERATIONS[name], fraction(f"the probability of {name}", probability), distance, range_)


_LONGEST_SHIFT = 150 / 331      # of a side: the paper's 150 pixels, for its images of 331
_RANGES = {
    "ShearX": _Range(0, 0.3, signed=True), "ShearY": _Range(0, 0.3, signed=True),
    "TranslateX": _Range(0, _LONGEST_SHIFT, signed=True), "TranslateY": _Range(0, _LONGEST_SHIFT, signed=True),
    "Rotate": _Range(0, 30, signed=True),
    **dict.fromkeys(("Color", "Contrast", "Brightness", "Sharpness"), _Range(0, 0.9, 1.0, signed=True)),
    "Posterize": _Range(8, 4), "Solarize": _Range(256, 0),
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), _Range()),
}
