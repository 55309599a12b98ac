"""Candidates: nearest descriptors vote for their picture, if they agree on a rotation and a scale.

Source: Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency for large scale image search",
ECCV 2008, and "On the burstiness of visual elements", CVPR 2009; the inverted index is faiss's.
"""
from __future__ import annotations

import faiss
import numpy as np

from . import sift
from .options import Options
from .sift import Features

_DIMENSIONS = 128
_ANGLE_BINS = 16                # of 22.5 degrees
_SCALE_BINS = 24                # of half an octave, from a 64th to 64 times
_PER_LIST = 256                 # descriptors in a list of the compressed index, about
_TRAINING_PER_LIST = 64
_LISTS = (1, 16_384)


def build_descriptor_index(descriptors: np.ndarray, options: Options) -> faiss.Index:
    """Search structure over reference descriptors uint8 [V, 128]: row v < V is descriptor v, row V + v its mirror.

    Few are searched exactly. Many are put into lists of residuals of 64 codes of 4 bits, 40 bytes each.
    """
    count = 2 * len(descriptors)
    if count <= options.exact_below:
        index = faiss.IndexFlatL2(_DIMENSIONS)
    else:
        index = _trained_lists(descriptors, count)
    block = 1 << 18
    for view in (descriptors, sift.mirror(descriptors)):
        for start in range(0, len(view), block):
            index.add(sift.rootsift(view[start:start + block]))
    return index


def _trained_lists(descriptors: np.ndarray, count: int) -> faiss.Index:
    wanted = min(max(count / _PER_LIST, _LISTS[0]), _LISTS[1], 4 * count ** 0.5)
    lists = 1 << int(np.log2(wanted))
    random = np.random.default_rng(0)
    rows = random.permutation(count)[:lists * _TRAINING_PER_LIST]
    sample = np.concatenate([descriptors[rows[rows < len(descriptors)]],
                             sift.mirror(descriptors[rows[rows >= len(descriptors)] - len(descriptors)])])
    sample = sift.rootsift(sample)
    means = faiss.Kmeans(_DIMENSIONS, lists, niter=10, seed=1, max_points_per_centroid=_TRAINING_PER_LIST)
    means.train(sample)
    index = faiss.index_factory(_DIMENSIONS, f"IVF{lists},PQ64x4fs")
    index.quantizer.add(np.round(means.centroids))      # whole numbers: distances exact, the same on any machine
    index.train(sample)
    return index


def nearest(index: faiss.Index, descriptors: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (query row, index row) with squared distance below the limit, by query row, then by distance.

    One picture is searched at a time: faiss takes other paths for other batch sizes, and results must not depend on
    which pictures happen to share a shard.
    """
    if hasattr(index, "nprobe"):
        index.nprobe = options.probes
    squared, rows = index.search(sift.rootsift(descriptors), options.neighbours)
    close = (rows >= 0) & (squared < options.max_distance * sift.SCALE ** 2)
    query, place = np.nonzero(close)
    return query, rows[query, place]


class Votes:
    """Weak geometric consistency over the features of all reference pictures.

    Args:
        offsets: int64 [N + 1]; features of picture i are rows offsets[i] to offsets[i + 1] of the columns below.
        sizes, angles: float32 [V], of the key points.
    """

    def __init__(self, offsets: np.ndarray, sizes: np.ndarray, angles: np.ndarray):
        self.offsets, self.sizes, self.angles = offsets, sizes, angles

    def candidates(self, features: Features, query: np.ndarray, rows: np.ndarray,
                   options: Options) -> list[tuple[int, bool, float]]:
        """The best (picture, mirrored, score), by score, then by picture.

        Every match votes with the difference of the two angles and the ratio of the two sizes. A picture's score is
        the smaller of the two largest sums of two neighbouring bins. A descriptor has one vote per picture, and
        weighs the less the more pictures it hits, by the square root of their number: overlays and repeated texture
        hit many.

        Args:
            features: of the query picture.
            query, rows: matches as `nearest` returns them.
            options: neighbours, min_score and candidates are used.
        """
        if not len(rows):
            return []
        total = len(self.sizes)
        mirrored = rows >= total
        rows = rows - total * mirrored
        picture = np.searchsorted(self.offsets, rows, side="right") - 1
        target = 2 * picture + mirrored
        _, first = np.unique(query * (2 * len(self.offsets)) + target, return_index=True)
        query, rows, mirrored, target = query[first], rows[first], mirrored[first], target[first]
        weight = np.bincount(query)[query] ** -0.5
        angles = np.where(mirrored, 180 - self.angles[rows], self.angles[rows])
        turn = ((angles - features.angles[query]) % 360 // (360 / _ANGLE_BINS)).astype(np.int64) % _ANGLE_BINS
        octaves = np.floor(2 * np.log2(self.sizes[rows] / features.sizes[query])).astype(np.int64)
        octaves = np.clip(octaves + _SCALE_BINS // 2, 0, _SCALE_BINS - 1)
        targets, group = np.unique(target, return_inverse=True)
        by_turn = _histograms(group, turn, weight, len(targets), _ANGLE_BINS)
        by_scale = _histograms(group, octaves, weight, len(targets), _SCALE_BINS)
        score = np.minimum((by_turn + np.roll(by_turn, 1, axis=1)).max(axis=1),
                           (by_scale[:, 1:] + by_scale[:, :-1]).max(axis=1))
        best = np.lexsort((targets, -score))[:options.candidates]
        return [(int(targets[b]) // 2, bool(targets[b] % 2), float(score[b])) for b in best
                if score[b] >= options.min_score]


def _histograms(group: np.ndarray, bin_: np.ndarray, weight: np.ndarray, groups: int, bins: int) -> np.ndarray:
    return np.bincount(group * bins + bin_, weight, groups * bins).reshape(groups, bins)
