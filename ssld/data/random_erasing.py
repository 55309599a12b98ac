"""Random erasing: a rectangle of an image becomes noise."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..checks import fraction, numbers, positive
from .transforms import TRANSFORMS, Transform, crop_ranges


@TRANSFORMS.register
class RandomErasing(Transform):
    """Noise in a random rectangle of a uint8 [H, W, 3] RGB image, a value of its own for every pixel and channel.

    The area is drawn uniformly, the aspect ratio log-uniformly, the place uniformly; what does not fit is cut to the image. The
    noise is normal with the mean and deviation of the data, rounded towards 0 and cut off to 0 to 255: about N(0, 1) behind
    NormalizeImage, in front of which the operator is to be put.

    Args:
        prob: share of the images that lose a rectangle.
        scale: range of its area as a share of the image's, in (0, 1].
        ratio: range of its height / width.
        mean, std: of the noise, for pixels in [0, 1], RGB; by default those of ImageNet.

    Raises:
        InputError: a value out of range.

    Source: Zhong et al., "Random Erasing Data Augmentation", arXiv:1708.04896, algorithm 1, whose noise is uniform and which
    draws again what does not fit.
    """

    random = True

    def __init__(self, prob: float = 0.25, scale: Sequence[float] = (0.02, 1 / 3), ratio: Sequence[float] = (0.3, 10 / 3),
                 mean: Sequence[float] = (0.485, 0.456, 0.406), std: Sequence[float] = (0.229, 0.224, 0.225)):
        self.prob, (self.scale, self.ratio) = fraction("prob", prob), crop_ranges(scale, ratio)
        self.mean = [255 * fraction("each value of mean", value) for value in numbers("mean", mean, 3)]
        self.std = [255 * positive("each value of std", value) for value in numbers("std", std, 3)]

    def __call__(self, image, rng):
        if rng.random() >= self.prob:
            return image
        top, left, height, width = self.box(*image.shape[:2], rng)
        noise = rng.normal(self.mean, self.std, (height, width, 3))
        erased = image.copy()
        erased[top:top + height, left:left + width] = np.clip(noise, 0, 255).astype(np.uint8)
        return erased

    def box(self, rows: int, columns: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """top, left, height and width of the rectangle in an image of rows x columns pixels."""
        area, aspect = rows * columns * rng.uniform(*self.scale), math.exp(rng.uniform(*map(math.log, self.ratio)))
        height = min(max(round(math.sqrt(area * aspect)), 1), rows)
        width = min(max(round(math.sqrt(area / aspect)), 1), columns)
        return int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1)), height, width
