"""Random changes of colour: ColorJitter and Lighting. They do not move pixels, so they may follow any crop."""
from __future__ import annotations

import numpy as np
from PIL import Image, ImageEnhance

from ..checks import fraction, not_negative, numbers
from ..errors import InputError
from . import tones
from .tones import Toned
from .transforms import TRANSFORMS, Transform

# Of the colours of ImageNet's pixels in [0, 1], red, green and blue: eigenvalues of the covariance and, in columns, its
# eigenvectors. Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", section 4.1;
# the numbers that ResNet's first training code in Torch published.
_EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
_EIGENVECTORS = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


@TRANSFORMS.register
class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue of a uint8 [H, W, 3] RGB image, changed in random order.

    Each is a range, or a number x >= 0 for the range 1 - x to 1 + x (of hue: -x to x), from which a factor is drawn
    uniformly. A factor of 1 (hue: 0) changes nothing. Pixels are those of Pillow's enhancements.

    Args:
        brightness: factor between black (0) and the image.
        contrast: factor between its mean grey and the image.
        saturation: factor between its grey version and the image.
        hue: shift in turns of the colour wheel, within -0.5 to 0.5.
        p: probability that anything happens at all.

    Raises:
        InputError: a range outside these limits.

    Source: torchvision's ColorJitter; PaddleClas's name and options.
    """

    random = True
    takes = (Toned,)

    def __init__(self, brightness=0, contrast=0, saturation=0, hue=0, p: float = 1.0):
        ranges = {"brightness": _range("brightness", brightness), "contrast": _range("contrast", contrast),
                  "saturation": _range("saturation", saturation), "hue": _range("hue", hue, 0, -0.5, 0.5)}
        self.changes = [(_CHANGES[name], low, high) for name, (low, high) in ranges.items()
                        if low < high or low != (0 if name == "hue" else 1)]
        self.p = fraction("p", p)

    def __call__(self, image, rng):
        picture = image if isinstance(image, Toned) else Toned(image)
        if rng.random() >= self.p:
            return picture
        for place in rng.permutation(len(self.changes)):
            change, low, high = self.changes[place]
            picture = change(picture, rng.uniform(low, high))
        return picture


@TRANSFORMS.register
class Lighting(Transform):
    """Adds one colour to all pixels of a uint8 [H, W, 3] RGB image, along the directions in which ImageNet's colours vary.

    The colour is the sum of a_i lambda_i e_i over eigenvalues and eigenvectors, with a_i ~ N(0, alphastd); new values are
    rounded to whole ones and cut off at 0 and 255.

    Args:
        alphastd: standard deviation of the three coefficients; usually 0.1.

    Source: Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
    """

    random = True
    takes = (Toned,)

    def __init__(self, alphastd: float = 0.1):
        self.alphastd = not_negative("alphastd", alphastd)

    def __call__(self, image, rng):
        picture = image if isinstance(image, Toned) else Toned(image)
        shift = _EIGENVECTORS @ (rng.normal(0, self.alphastd, 3) * _EIGENVALUES) * 255
        return picture.through(np.clip(np.rint(tones.VALUES + shift[:, None]), 0, 255).astype(np.uint8))


def _range(name: str, value, centre: float = 1.0, lowest: float = 0.0, highest: float = np.inf) -> tuple[float, float]:
    """[low, high] of a number around `centre`, or as given."""
    if isinstance(value, (list, tuple)):
        low, high = numbers(name, value, 2)
    else:
        low, high = max(centre - not_negative(name, value), lowest), centre + value
    if not lowest <= low <= high <= highest:
        limits = f"within {lowest:g} to {highest:g}" if np.isfinite(highest) else f"of at least {lowest:g}"
        raise InputError(f"{name} must be a number or [low, high] {limits}, not {value!r}.")
    return low, high


def _saturated(picture: Toned, factor: float) -> Toned:
    return Toned(np.asarray(ImageEnhance.Color(Image.fromarray(np.asarray(picture))).enhance(factor)))


def _turned(picture: Toned, turns: float) -> Toned:
    """The hue, which Pillow keeps in 256 steps a turn, after a shift."""
    hue, saturation, value = Image.fromarray(np.asarray(picture)).convert("HSV").split()
    shifted = Image.fromarray(np.asarray(hue) + np.uint8(int(turns * 255) % 256))
    return Toned(np.asarray(Image.merge("HSV", (shifted, saturation, value)).convert("RGB")))


_CHANGES = {"brightness": lambda picture, factor: picture.through(tones.blended(0, factor)),
            "contrast": lambda picture, factor: picture.through(tones.blended(picture.mean_grey(), factor)),
            "saturation": _saturated, "hue": _turned}
