"""Fill: what an edit puts around a picture, such as the corners that a rotation leaves empty."""
from __future__ import annotations

import cv2
import numpy as np

_TOLERANCE = 6          # grey levels: what recompression does to a constant
_THICKNESS = 5          # thumbnail pixels; what is thinner is a leak into the picture


def all_but_fill(thumbnail: np.ndarray) -> np.ndarray:
    """Mask of the pixels that belong to the picture itself: 255, and 0 in regions of one grey level at its corners.

    Args:
        thumbnail: uint8 [H, W].
    """
    height, width = thumbnail.shape
    flooded = np.zeros((height + 2, width + 2), np.uint8)       # OpenCV wants a pixel more on every side
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)):
        cv2.floodFill(thumbnail.copy(), flooded, corner, 0, _TOLERANCE, _TOLERANCE,
                      4 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | 255 << 8)
    fill = cv2.morphologyEx(flooded[1:-1, 1:-1], cv2.MORPH_OPEN, np.ones((_THICKNESS, _THICKNESS), np.uint8))
    return 255 - fill
