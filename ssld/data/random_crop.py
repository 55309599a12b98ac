"""The random crop of recipes for pictures of 32 pixels."""
from __future__ import annotations

import cv2

from ..checks import one_of
from ..errors import InputError
from .transforms import TRANSFORMS, Transform, width_and_height


@TRANSFORMS.register
class RandomCropImage(Transform):
    """A random `size` x `size` part of the image, in its own resolution, after a border was put around it.

    Args:
        size: side of the result in pixels, or [width, height].
        padding: width of the black border on each side, pixels.

    Raises:
        InputError: when it runs: an image that is smaller, border included.

    Source: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2; PaddleClas's name.
    """

    geometric = random = True

    def __init__(self, size, padding: int = 0):
        self.size = width_and_height("size", size)
        self.padding = one_of("padding", padding, range(1 << 15))

    def __call__(self, image, rng):
        padded = cv2.copyMakeBorder(image, *[self.padding] * 4, cv2.BORDER_CONSTANT) if self.padding else image
        (width, height), (rows, columns) = self.size, padded.shape[:2]
        if rows < height or columns < width:
            raise InputError(f"RandomCropImage: a crop of {width} x {height} does not fit into an image of {columns} x {rows}, "
                             "border included; put ResizeImage before it.")
        top, left = int(rng.integers(rows - height + 1)), int(rng.integers(columns - width + 1))
        return padded[top:top + height, left:left + width]
