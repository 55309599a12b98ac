"""RandAugment: a few operations drawn at random, all of about the same magnitude."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..checks import fraction, not_negative, numbers, one_of, positive, positive_int
from ..errors import InputError
from .operations import OPERATIONS, Moving
from .tones import Toned
from .transforms import TRANSFORMS, Transform

_RESAMPLE = {"nearest": (Image.Resampling.NEAREST,), "bilinear": (Image.Resampling.BILINEAR,),
             "bicubic": (Image.Resampling.BICUBIC,), "random": (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)}


@TRANSFORMS.register
class RandAugment(Transform):
    """Operations drawn with replacement from fifteen, on a uint8 [H, W, 3] RGB image.

    Each drawn operation is applied with probability `prob`, with a magnitude ~ N(magnitude, magnitude_std) that is cut off
    to 0 to `strongest`. The sign of a shear, shift or rotation is drawn. Pixels are those of Pillow's operations.

    Let m be ten times the magnitude's share of `strongest`. At m = 10 a rotation has 30 degrees, a shear 0.3, a shift 0.45
    of the side. The enhancements' factor is 0.1 + 0.18 m, so that they change least at m = 5; Posterize keeps int(0.4 m) bits,
    Solarize has the threshold int(25.6 m), and both change less, the larger m is. With `increasing` more is stronger for these
    too: the factor is
    1 +- 0.09 m, and Posterize and Solarize take 4 and 256 minus what they take otherwise.

    The string rand-m7-mstd0.5 of other toolkits is what the defaults are; -inc1 is `increasing`. PaddleClas's operator of this
    name applies all that it draws (prob 1.0), without noise; its TimmAutoAugment is this one. A magnitude of
    "level 12 of 15" is magnitude 12 with strongest 15.

    Args:
        num_layers: operations that are drawn.
        magnitude: mean of their magnitudes, 0 to `strongest`.
        magnitude_std: standard deviation of the magnitudes, >= 0.
        increasing: see above.
        prob: probability that a drawn operation is applied.
        mean: of the data, for pixels in [0, 1], RGB: the colour of what a moved picture leaves open.
        strongest: the magnitude at which every operation has its strongest effect, > 0; the noise is on the same scale.
        interpolation: of moved pixels: nearest, bilinear, bicubic, or random for one of the latter two each time.

    Raises:
        InputError: a value out of range.

    Source: Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
    arXiv:1909.13719; probability, noise and ranges as in timm 0.6, with which the recipes of arXiv:2110.00476 were run.
    """

    random = True
    takes = (Toned,)

    def __init__(self, num_layers: int = 2, magnitude: float = 7.0, magnitude_std: float = 0.5, increasing: bool = False,
                 prob: float = 0.5, mean: Sequence[float] = (0.485, 0.456, 0.406), interpolation: str = "random",
                 strongest: float = 10.0):
        self.num_layers = positive_int("num_layers", num_layers)
        self.magnitude, self.strongest = not_negative("magnitude", magnitude), positive("strongest", strongest)
        if magnitude > strongest:
            raise InputError(f"magnitude must lie between 0 and {strongest:g}, the value of strongest, not {magnitude}.")
        self.magnitude_std, self.prob = not_negative("magnitude_std", magnitude_std), fraction("prob", prob)
        self.operations = list((_INCREASING if increasing else _PLAIN).items())
        self.fill = tuple(min(255, round(255 * fraction("each value of mean", value))) for value in numbers("mean", mean, 3))
        self.resample = one_of("interpolation", interpolation, _RESAMPLE)

    def __call__(self, image, rng):
        picture = image if isinstance(image, Toned) else Toned(image)
        for place in rng.integers(len(self.operations), size=self.num_layers):
            if rng.random() < self.prob:
                name, range_ = self.operations[place]
                magnitude = min(max(rng.normal(self.magnitude, self.magnitude_std), 0.0), self.strongest)
                moving = Moving(self.fill, self.resample[rng.integers(len(self.resample))])
                picture = OPERATIONS[name](picture, range_.at(magnitude / self.strongest, rng), moving)
        return picture


class _Range(NamedTuple):
    """What an operation is given: `start` plus the share of `span` that its magnitude is of the strongest."""

    span: float = 0.0
    start: float = 0.0
    signed: bool = False            # whether that part has a drawn sign
    whole: bool = False             # whether it is a whole number, rounded towards 0

    def at(self, share: float, rng: np.random.Generator) -> float:
        part = share * self.span
        if self.whole:
            return self.start + int(part)
        return self.start + (-part if self.signed and rng.random() < 0.5 else part)


_ENHANCEMENTS = ("Color", "Contrast", "Brightness", "Sharpness")
_PLAIN = {
    **dict.fromkeys(("AutoContrast", "Equalize", "Invert"), _Range()), "Rotate": _Range(30, signed=True),
    "Posterize": _Range(4, whole=True), "Solarize": _Range(256, whole=True), "SolarizeAdd": _Range(110, whole=True),
    **dict.fromkeys(_ENHANCEMENTS, _Range(1.8, 0.1)), **dict.fromkeys(("ShearX", "ShearY"), _Range(0.3, signed=True)),
    **dict.fromkeys(("TranslateX", "TranslateY"), _Range(0.45, signed=True)),
}
_INCREASING = {**_PLAIN, "Posterize": _Range(-4, 4, whole=True), "Solarize": _Range(-256, 256, whole=True),
               **dict.fromkeys(_ENHANCEMENTS, _Range(0.9, 1.0, signed=True))}
