"""An equal share of every cluster of the teacher's features, so that rare kinds of images are not drowned by common ones."""
from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np

from dedup.threads import one_thread

from ...checks import one_of, positive_int
from ...data.manifest import Manifest
from ...errors import InputError
from .base import ONE, SELECTORS, Selection, best_class_selection, candidates, ranked
from .random import draw

_BLOCK = 1 << 22                # numbers of features that are held together
_ROUNDS = 20                    # of k-means


@SELECTORS.register
def balanced_clusters(manifest: Manifest, count: int, clusters: int = 1000, order: str = "score", sample: int = 100_000,
                      seed: int = 0) -> Selection:
    """`count` images, as evenly as can be from the k-means clusters of their features; labelled with the best class.

    A cluster with fewer images than its share gives all it has, and the others share what is left. The result depends on
    the set of paths and not on their order: the centroids are trained, in one thread, on images drawn and ordered by the
    hash values of their paths; each image then goes to the nearest centroid.

    Args:
        manifest: with columns "teacher_class", "score" and "feature" [N, D]; distances are Euclidean, between features as
            stored. Class -1 marks rows that are no candidates.
        count: images, >= 1; all of them when there are fewer.
        clusters: >= 1. The published pipeline has several levels of them; this is its case of one level.
        order: which images of a cluster come first, those of the highest "score", or those nearest to the "centroid";
            ties go to the smaller path.
        sample: images that the centroids are trained on, >= clusters; faiss advises at least 39 per cluster.
        seed: of the sample and of the first centroids.

    Raises:
        InputError: no features, features that are not finite, fewer images than clusters, a number out of range.

    Source: Vo et al., "Automatic data curation for self-supervised learning: a clustering-based approach",
    arXiv:2405.15613.
    """
    positive_int("count", count), positive_int("clusters", clusters), positive_int("sample", sample)
    one_of("order", order, ("score", "centroid"))
    _check_features(manifest)
    row = candidates(manifest)
    if min(len(row), sample) < clusters:
        raise InputError(f"{clusters} clusters need as many images, but there are {len(row)}, and sample is {sample}. Choose "
                         "fewer clusters or a larger sample.")
    centroids = _train(manifest, draw(manifest.path, row, sample, seed), clusters, seed)
    cluster, distance = _assign(manifest, row, centroids)
    score = np.asarray(manifest.columns["score"][row, 0])
    value = distance.view(np.uint32) if order == "centroid" else ONE - score.view(np.uint16)
    place, rank = ranked(manifest.path, row, cluster, value)
    share = equal_shares(np.bincount(cluster, minlength=clusters), count)
    return best_class_selection(manifest, np.sort(row[place[rank < share[cluster[place]]]]))


def equal_shares(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many to take of each cluster so that they sum up to `count` and no share could be more equal.

    Every cluster gives min(size, level), with the largest level that is not too much; what is missing then comes one
    by one from the largest clusters, of equal ones from the first.

    Args:
        sizes: int [clusters].
        count: >= 0.

    Returns:
        int64 [clusters]; `sizes` when they sum up to `count` or less.
    """
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if np.minimum(sizes, middle).sum() <= count else (low, middle - 1)
    shares = np.minimum(sizes, low)
    largest = np.argsort(-sizes, kind="stable")[:min(count, sizes.sum()) - shares.sum()]
    shares[largest] += 1
    return shares


def _check_features(manifest: Manifest) -> None:
    column, name = manifest.columns.get("feature"), manifest.source or "the list"
    if column is None:
        raise InputError(f"{name} has no column 'feature'. Set Score.features: true and score again.")
    if column.ndim != 2 or column.dtype.kind != "f":
        raise InputError(f"{name}: expected the column 'feature' as floats [rows, D], found {column.dtype} "
                         f"{list(column.shape)}. Score the list again.")


def _train(manifest: Manifest, row: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """The centroids, float32 [clusters, D]; one thread, so that the number of cores has no say."""
    features = np.concatenate([part for _, part in _features(manifest, row)])
    kmeans = faiss.Kmeans(features.shape[1], clusters, niter=_ROUNDS, seed=seed, min_points_per_centroid=1,
                          max_points_per_centroid=len(row))
    with one_thread():
        kmeans.train(features)
    return kmeans.centroids


def _assign(manifest: Manifest, row: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest centroid, int32, and the squared distance to it, float32, of each of `row`.

    The search rounds differently in different places of a block, so the two nearest are compared once more, each image
    by itself.
    """
    index = faiss.IndexFlatL2(centroids.shape[1])
    index.add(centroids)
    cluster, distance = np.empty(len(row), np.int32), np.empty(len(row), np.float32)
    for first, features in _features(manifest, row):
        near = np.sort(index.search(features, min(2, len(centroids)))[1], axis=1)
        exact = np.stack([np.square(features - centroids[c], dtype=np.float64).sum(1) for c in near.T], axis=1)
        nearest = exact.argmin(1)[:, None]
        here = slice(first, first + len(features))
        cluster[here] = np.take_along_axis(near, nearest, 1)[:, 0]
        distance[here] = np.take_along_axis(exact, nearest, 1)[:, 0]
    return cluster, distance


def _features(manifest: Manifest, row: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The features of some rows in parts: (position in `row`, float32 [n, D])."""
    column = manifest.columns["feature"]
    step = max(1, _BLOCK // column.shape[1])
    for first in range(0, len(row), step):
        part = np.asarray(column[row[first:first + step]], np.float32)
        wrong = ~np.isfinite(part).all(1)
        if wrong.any():
            raise InputError(f"{manifest.place(int(row[first + np.argmax(wrong)]))}: the feature is not finite. Are the "
                             "teacher's weights whole? Score again.")
        yield first, part
