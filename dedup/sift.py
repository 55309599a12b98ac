"""Local features: which key points are kept, RootSIFT, and the descriptors of the mirrored picture for free."""
from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from . import descriptors

SCALE = 2048
_SMALLEST = 8           # pixels on a side; smaller pictures have no local features


class Features(NamedTuple):
    """Key points of a picture: `points` float32 [n, 2] (x, y) pixels, `sizes` float32 [n] pixels, `angles`
    float32 [n] degrees in [0, 360), `descriptors` uint8 [n, 128]."""

    points: np.ndarray
    sizes: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray

    @classmethod
    def none(cls) -> Features:
        """The features of a picture that has none."""
        empty = np.zeros(0, np.float32)
        return cls(np.zeros((0, 2), np.float32), empty, empty, np.zeros((0, 128), np.uint8))

    def mirrored(self, width: int) -> Features:
        """What would be found in the picture, `width` pixels wide, after exchanging left and right."""
        points = np.column_stack([width - 1 - self.points[:, 0], self.points[:, 1]])
        return Features(points, self.sizes, (180 - self.angles) % 360, mirror(self.descriptors))


def extract(grey: np.ndarray, count: int, contrast: float) -> Features:
    """SIFT key points and descriptors of a picture.

    The detector's own limit keeps the strongest responses: the finest scales, which blur and thumbnails destroy
    first. Here half of the key points are the largest ones, the others the strongest of the rest.

    Args:
        grey: uint8 [H, W].
        count: key points kept at most.
        contrast: contrast threshold of the detector.

    Source: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004.
    """
    if min(grey.shape) < _SMALLEST:
        return Features.none()
    x, y, sizes, angles, responses = detect(grey, contrast)
    rows = select(sizes, responses, angles, x, y, count)
    points, sizes, angles = np.column_stack([x[rows], y[rows]]), sizes[rows], angles[rows]
    return Features(points, sizes, angles, descriptors.compute(grey, points, sizes, angles))


def detect(grey: np.ndarray, contrast: float) -> np.ndarray:
    """Columns of all key points, in no particular order: x, y, size, angle and response, float32 [5, n]."""
    found = _detector(contrast).detect(grey, None)
    return np.array([(*k.pt, k.size, k.angle % 360, k.response) for k in found], np.float32).reshape(-1, 5).T


def select(size, response, angle, x, y, count: int) -> np.ndarray:
    """Rows of the key points to keep: `count` / 2 of the largest, the rest by response; ties by position."""
    by_size = np.lexsort((angle, y, x, -response, -size))
    largest, others = by_size[:count // 2], by_size[count // 2:]
    strongest = others[np.argsort(-response[others], kind="stable")]
    return np.concatenate([largest, strongest[:count - len(largest)]])


@lru_cache(maxsize=4)
def _detector(contrast: float):
    return cv2.SIFT_create(nfeatures=0, contrastThreshold=contrast)


def rootsift(descriptors: np.ndarray) -> np.ndarray:
    """Square roots of the L1-normalised descriptors, times 2048 and rounded: float32 [n, 128] of whole numbers.

    A dot product of two is below 2^24, so float32 holds it exactly: distances depend neither on the order in which
    a library adds nor on its threads. `SCALE` ** 2 is the squared length.

    Source: Arandjelovic and Zisserman, "Three things everyone should know to improve object retrieval", CVPR 2012.
    """
    values = descriptors.astype(np.float32)
    total = np.maximum(values.sum(axis=1, keepdims=True), 1)
    return np.round(np.sqrt(values / total) * SCALE)


def _mirror_order() -> np.ndarray:
    row, column, turn = np.meshgrid(np.arange(4), np.arange(4), np.arange(8), indexing="ij")
    return (((3 - row) * 4 + column) * 8 + (-turn) % 8).ravel()


_MIRROR = _mirror_order()


def mirror(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors of the mirrored patches.

    With the layout [row r][column c][orientation o] of 4 x 4 x 8: mirror(d)[r, c, o] = d[3 - r, c, -o mod 8].
    A patch is upright in its own orientation, so mirroring the picture turns into exchanging its rows.
    """
    return descriptors[:, _MIRROR]
