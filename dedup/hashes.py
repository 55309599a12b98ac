"""Perceptual hash: the signs of 16 x 16 low frequencies, in all eight orientations of the picture.

Source: the construction of Facebook's PDQ, "Open-Sourcing Photo- and Video-Matching Technology" (2019), with an
area reduction in place of its two-pass Jarosz filter; distances are comparable, bits are not interchangeable.
"""
from __future__ import annotations

import cv2
import faiss
import numpy as np

BYTES = 32
ORIENTATIONS = 8
_SIDE = 64
_FREQUENCIES = 16
_NOISE = 1e-2           # coefficients of a flat image are rounding noise: they must not become bits


def _dct_rows() -> np.ndarray:
    """Rows 1 to 16 of the orthonormal cosine transform of length 64."""
    frequency = np.arange(1, _FREQUENCIES + 1)[:, None]
    place = np.arange(_SIDE)[None, :]
    return (np.sqrt(2 / _SIDE) * np.cos(np.pi / (2 * _SIDE) * frequency * (2 * place + 1))).astype(np.float32)


_DCT = _dct_rows()
_ALTERNATING = np.where(np.arange(1, _FREQUENCIES + 1) % 2, -1, 1).astype(np.float32)


def reduce(grey: np.ndarray) -> np.ndarray:
    """The 64 x 64 float32 image a hash is made of."""
    return cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def quality(reduced: np.ndarray) -> int:
    """How much structure a hash rests on, in [0, 100]; below 50 hashes of unrelated pictures come close."""
    steps = [np.abs(np.trunc(np.diff(reduced, axis=axis) * (100 / 255))).sum() for axis in (0, 1)]
    return int(min(100, sum(steps) // 90))


def coefficients(reduced: np.ndarray) -> np.ndarray:
    """Cosine transform, frequencies 1 to 16 both ways (rows: vertical), float32 [16, 16]."""
    return _DCT @ reduced @ _DCT.T


def hash_of(coefficient: np.ndarray) -> np.ndarray:
    """The 256 bits "above the median", uint8 [32]."""
    rounded = np.round(coefficient / _NOISE)
    return np.packbits((rounded > np.median(rounded)).ravel())


def dihedral_hashes(coefficient: np.ndarray) -> np.ndarray:
    """Hashes of the picture turned and mirrored in all eight ways, uint8 [8, 32]; the first is the picture's own.

    Mirroring an axis changes the sign of its odd frequencies, transposing transposes: no pixel is touched again.
    """
    variants = []
    for base in (coefficient, coefficient.T):
        mirrored = base * _ALTERNATING
        variants += [base, mirrored, base * _ALTERNATING[:, None], mirrored * _ALTERNATING[:, None]]
    return np.stack([hash_of(v) for v in variants])


class HashTable:
    """Exact search by Hamming distance.

    Args:
        hashes: uint8 [N, 32].
    """

    def __init__(self, hashes: np.ndarray):
        self.index = faiss.IndexBinaryFlat(8 * BYTES)
        self.index.add(np.ascontiguousarray(hashes))

    def within(self, query: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows at most `radius` bits from one hash uint8 [32], and their distances; nearest first, then by row."""
        _, distances, rows = self.index.range_search(query[None], radius + 1)       # faiss: strictly below
        order = np.lexsort((rows, distances))
        return rows[order], distances[order].astype(np.int64)
