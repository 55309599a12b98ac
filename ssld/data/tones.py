"""Changes of an image that map each value of a channel to another, whatever stands beside it: tables of 256 values.

Tables of consecutive changes are one table, and the image goes through it once. Rounding is that of Pillow's functions.
"""
from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

VALUES = np.arange(256, dtype=np.uint8)


class Toned:
    """An image whose values have yet to go through tables; np.asarray does that.

    Args:
        image: uint8 [H, W, 3].
        tables: one per channel, uint8 [3, 256]; None leaves the image as it is.
    """

    def __init__(self, image: np.ndarray, tables: np.ndarray | None = None):
        self.image, self.tables = image, tables
        self._counts: np.ndarray | None = None          # of the image, before the tables

    def through(self, tables: np.ndarray) -> Toned:
        """The image after further tables, uint8 [3, 256], or [256] for all channels."""
        tables = np.broadcast_to(tables, (3, 256))
        toned = Toned(self.image, tables if self.tables is None else _each(np.take, tables, self.tables))
        toned._counts = self._counts
        return toned

    def counts(self) -> np.ndarray:
        """How often each value occurs in each channel, int64 [3, 256]."""
        if self._counts is None:
            self._counts = np.concatenate([cv2.calcHist([self.image], [channel], None, [256], (0, 256)).T.astype(np.int64)
                                           for channel in range(3)])
        return self._counts if self.tables is None else _each(_moved, self.tables, self._counts)

    def mean_grey(self) -> int:
        """The mean of Pillow's grey version, rounded; towards it, less contrast goes."""
        grey = np.asarray(Image.fromarray(np.asarray(self)).convert("L"))
        return int(cv2.sumElems(grey)[0] / grey.size + 0.5)

    def __array__(self, dtype=None) -> np.ndarray:
        if self.tables is None:
            return self.image
        # OpenCV is faster with three channels of their own than with three tables at once
        return cv2.merge([cv2.LUT(plane, table) for plane, table in zip(cv2.split(self.image), self.tables)])


def _each(function: Callable, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The function's results for each row of two arrays."""
    return np.stack([function(*rows) for rows in zip(first, second)])


def _moved(table: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.bincount(table, weights=counts, minlength=256).astype(np.int64)


def posterized(bits: float) -> np.ndarray:
    """The leading bits of each value, rounded to a whole number of bits, 0 (black) to 8."""
    return VALUES >> (8 - round(bits)) << (8 - round(bits))


def solarized(threshold: float) -> np.ndarray:
    """Values from the threshold on are inverted."""
    return np.where(threshold <= VALUES, VALUES[::-1], VALUES)


def brightened_below_half(shift: float) -> np.ndarray:
    """Values of less than 128 are raised by a whole number, as far as 255."""
    return np.where(VALUES < 128, np.minimum(VALUES.astype(np.int64) + int(shift), 255), VALUES).astype(np.uint8)


def blended(degenerate: int, factor: float) -> np.ndarray:
    """Each value moved away from `degenerate` (factor above 1) or towards it (below), in single precision, cut off."""
    start, factor = np.float32(degenerate), np.float32(factor)
    return np.clip(start + factor * (VALUES.astype(np.float32) - start), 0, 255).astype(np.uint8)


def stretched(counts: np.ndarray) -> np.ndarray:
    """Tables [3, 256] that spread the values that occur in each channel over 0 to 255; `counts` as of Toned."""
    low, high = (counts > 0).argmax(1)[:, None], 255 - (counts[:, ::-1] > 0).argmax(1)[:, None]
    scale = 255.0 / np.maximum(high - low, 1)
    return np.where(high > low, np.clip(VALUES * scale - low * scale, 0, 255).astype(np.uint8), VALUES)


def equalized(counts: np.ndarray) -> np.ndarray:
    """Tables [3, 256] that give as many pixels as possible to each new value of a channel; `counts` as of Toned."""
    largest = 255 - (counts[:, ::-1] > 0).argmax(1)[:, None]
    upto = counts.cumsum(1)
    step = (upto[:, -1:] - np.take_along_axis(counts, largest, 1)) // 255
    tables = np.minimum((step // 2 + upto - counts) // np.maximum(step, 1), 255).astype(np.uint8)
    return np.where(step > 0, tables, VALUES)
