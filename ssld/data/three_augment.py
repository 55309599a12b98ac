"""Three-augment: the few changes of colour that vision transformers need when they are trained on ImageNet alone."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from ..checks import numbers
from ..errors import InputError
from . import tones
from .tones import Toned
from .transforms import TRANSFORMS, Transform

_HALF = 128                     # values from here on are inverted


@TRANSFORMS.register
class ThreeAugment(Transform):
    """Exactly one of three changes of a uint8 [H, W, 3] RGB image, each with probability 1/3: grey, solarised or blurred.

    Pixels are those of Pillow's operations. A ColorJitter of 0.3 usually follows.

    Args:
        radius: range of the standard deviation of the Gaussian blur in pixels, drawn uniformly.

    Raises:
        InputError: no range of numbers above 0.

    Source: Touvron, Cord and Jegou, "DeiT III: Revenge of the ViT", arXiv:2204.07118, section 3.
    """

    random = True
    takes = (Toned,)

    def __init__(self, radius: Sequence[float] = (0.1, 2.0)):
        low, high = numbers("radius", radius, 2)
        if not 0 < low <= high:
            raise InputError(f"radius must be [low, high] with 0 < low <= high, not {radius}.")
        self.radius = low, high

    def __call__(self, image, rng):
        picture, which = image if isinstance(image, Toned) else Toned(image), rng.integers(3)
        if which == 0:
            return Toned(np.asarray(_pillow(picture).convert("L").convert("RGB")))
        if which == 1:
            return picture.through(tones.solarized(_HALF))
        return Toned(np.asarray(_pillow(picture).filter(ImageFilter.GaussianBlur(rng.uniform(*self.radius)))))


def _pillow(picture: Toned) -> Image.Image:
    return Image.fromarray(np.asarray(picture))
