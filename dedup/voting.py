"""Candidates: nearest descriptors vote for their picture, if they agree on a rotation and a scale.

Source: Jegou, Douze and Schmid, "Hamming embedding and weak geometric consistency for large scale image search",
ECCV 2008, and "On the burstiness of visual elements", CVPR 2009; the inverted index is faiss's.
"""
from __future__ import annotations

from collections.abc import Sequence

import faiss
import numpy as np

from . import sift
from .files import atomic_write
from .options import Options
from .sift import Features
from .threads import one_thread

_DIMENSIONS = 128
_ANGLE_BINS = 16                # of 22.5 degrees
_SCALE_BINS = 24                # of half an octave, from a 64th to 64 times
_LISTS = "IVF{}_HNSW32,PQ32x4fs"        # 24 bytes a descriptor; the nearest lists are found through a graph
_PER_LIST = 256                 # descriptors in a list of the compressed index, about
_MOST_LISTS = 16_384
_TRAINING_PER_LIST = 40
_SCAN = 12                      # faiss's way through the lists: one list after another, each for all who ask
_BLOCK = 1 << 16                # descriptors added at once


def build_descriptor_index(descriptors: np.ndarray, options: Options) -> faiss.Index:
    """Search structure over reference descriptors uint8 [V, 128]: row v < V is descriptor v, row V + v its mirror.

    Few are searched exactly. Many are put into lists and kept as 32 codes of 4 bits. `descriptors` is read by blocks
    and may be memory-mapped. The result does not depend on the number of threads.
    """
    index = empty_index(descriptors, options)
    add_descriptors(index, descriptors)
    return index


def empty_index(descriptors: np.ndarray, options: Options) -> faiss.Index:
    """The kind of search structure that suits so many descriptors, trained on a part of them, without any in it.

    Source: Andre, Kermarrec and Le Scouarnec, "Quicker ADC", PAMI 2021, for the 4-bit codes; Malkov and Yashunin,
    "Efficient and robust approximate nearest neighbor search using HNSW graphs", PAMI 2020, for the graph.
    """
    count = 2 * len(descriptors)
    if count <= options.exact_below:
        return faiss.IndexFlatL2(_DIMENSIONS)
    lists = 1 << int(np.log2(max(min(count / _PER_LIST, _MOST_LISTS, 4 * count ** 0.5), 1)))
    rows = np.linspace(0, len(descriptors) - 1, min(lists * _TRAINING_PER_LIST, count) // 2).astype(np.int64)
    sample = descriptors[rows]
    sample = sift.rootsift(np.concatenate([sample, sift.mirror(sample)]))
    index = faiss.index_factory(_DIMENSIONS, _LISTS.format(lists))
    with one_thread():      # the graph of the centres depends on the order in which it grows
        index.quantizer.add(_centroids(sample, lists))
        index.train(sample)
    index.implem = _SCAN
    return index


def add_descriptors(index: faiss.Index, descriptors: np.ndarray) -> None:
    """Put descriptors uint8 [V, 128] and their mirrors into a search structure, in this order."""
    for view in (np.asarray, sift.mirror):
        for start in range(0, len(descriptors), _BLOCK):
            index.add(sift.rootsift(view(descriptors[start:start + _BLOCK])))


def _centroids(sample: np.ndarray, lists: int) -> np.ndarray:
    """Whole-numbered centres of the lists: distances to them are exact, the same on any machine.

    Plain k-means would need lists * len(sample) distances per round. Here it first finds the square root of `lists`
    cells, then divides each into as many lists as its share of the sample.
    """
    cells = int(lists ** 0.5)
    first = _k_means(sample, cells)
    cell = first.assign(sample)[1]
    order = np.argsort(cell, kind="stable")
    ends = np.bincount(cell, minlength=cells).cumsum()
    shares = np.diff(ends * lists // len(sample), prepend=0)
    parts = zip(np.split(order, ends[:-1]), shares.tolist())
    return np.round(np.concatenate([_k_means(sample[rows], share).centroids for rows, share in parts if share]))


def _k_means(sample: np.ndarray, count: int) -> faiss.Kmeans:
    means = faiss.Kmeans(_DIMENSIONS, count, niter=10, seed=1, min_points_per_centroid=1,
                         max_points_per_centroid=len(sample))
    means.train(sample)
    return means


def write_index(index: faiss.Index, path) -> None:
    """Write a search structure to a file, atomically and without a second copy in memory."""
    with atomic_write(path, "wb") as file:
        try:
            faiss.write_index(index, file.name)     # into the same file, past `file`, which then makes it last
        except RuntimeError as error:
            raise OSError(str(error)) from error


def nearest(index: faiss.Index, descriptors: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (query row, index row) with squared distance below the limit, by query row, then by distance.

    What is found for one descriptor does not depend on the others that are searched with it.
    """
    if isinstance(index, faiss.IndexIVF):
        faiss.ParameterSpace().set_index_parameters(index, f"nprobe={options.probes},quantizer_efSearch={options.probes}")
    squared, rows = index.search(sift.rootsift(descriptors), options.neighbours)
    close = (rows >= 0) & (squared < options.max_distance * sift.SCALE ** 2)
    query, place = np.nonzero(close)
    return query, rows[query, place]


def nearest_of_each(index: faiss.Index, pictures: Sequence[np.ndarray],
                    options: Options) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `nearest` finds for the descriptors of each of several pictures, in one search, which is faster."""
    offsets = np.cumsum([0] + [len(p) for p in pictures])
    query, rows = nearest(index, np.concatenate([np.zeros((0, _DIMENSIONS), np.uint8), *pictures]), options)
    cuts = np.searchsorted(query, offsets)
    return [(query[start:stop] - offset, rows[start:stop]) for start, stop, offset in zip(cuts, cuts[1:], offsets)]


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
