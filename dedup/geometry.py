"""Affine maps as 2 x 3 matrices: (x, y) -> A (x, y) + t, in pixels, pixel centres at whole numbers."""
from __future__ import annotations

import math

import numpy as np

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that applies `first`, then `second`."""
    return second @ np.vstack([first, [0.0, 0.0, 1.0]])


def rescaling(source: tuple, target: tuple) -> np.ndarray:
    """Map from the pixels of a picture of `source` (height, width) to those of the same picture of `target` size."""
    x, y = target[1] / source[1], target[0] / source[0]
    return np.array([[x, 0.0, (x - 1) / 2], [0.0, y, (y - 1) / 2]])


def mirroring(width: int) -> np.ndarray:
    """x -> width - 1 - x."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Mapped points, [n, 2]."""
    return points @ affine[:, :2].T + affine[:, 2]


def is_plausible(affine: np.ndarray) -> bool:
    """Could an edit have done this? Keeps orientation, scales by 0.1 to 10, stretches by at most 3."""
    (a, b, x), (c, d, y) = affine.tolist()
    turning, mirroring = math.hypot(a + d, c - b), math.hypot(a - d, b + c)        # the singular values are half of
    small, large = (turning - mirroring) / 2, (turning + mirroring) / 2            # their difference and of their sum
    return math.isfinite(x + y) and small >= 0.1 and large <= 10 and large <= 3 * small
