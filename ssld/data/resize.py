"""Resizing by OpenCV or by Pillow. They differ where pictures shrink: OpenCV looks at the nearest few pixels only, Pillow at
all that a new pixel covers (antialiasing), which other toolkits' published numbers rest on."""
from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from ..checks import one_of

_OPENCV = {"nearest": cv2.INTER_NEAREST, "bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA,
           "lanczos": cv2.INTER_LANCZOS4}
_PILLOW = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC,
           "area": Image.Resampling.BOX, "lanczos": Image.Resampling.LANCZOS}
_BACKENDS = {"cv2": _OPENCV, "pil": _PILLOW}


class Resize:
    """One way to resize.

    Args:
        interpolation: nearest, bilinear, bicubic, area or lanczos.
        backend: cv2, or pil for Pillow's antialiased filters (area is its box filter; nearest has nothing to smooth).

    Raises:
        InputError: another name.
    """

    def __init__(self, interpolation: str = "bilinear", backend: str = "cv2"):
        self.with_pillow = one_of("backend", backend, _BACKENDS) is _PILLOW
        self.filter = one_of("interpolation", interpolation, _BACKENDS[backend])

    def __call__(self, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """uint8 [H, W, 3] -> uint8 [height, width, 3] for a size of (width, height), pixels."""
        if self.with_pillow:
            packed = np.ascontiguousarray(image)            # Pillow takes five times as long to read a box of an array
            return np.asarray(Image.fromarray(packed).resize(size, self.filter))
        return cv2.resize(image, size, interpolation=self.filter)
