"""Are two pictures copies of each other? An affine map between their key points, and agreement of their pixels.

Counting matching key points alone removes innocent pictures that share a frame, a caption or a logo; so the pixels
are compared after alignment, over the whole overlap.
"""
from __future__ import annotations

from typing import NamedTuple, Optional

import cv2
import faiss
import numpy as np

from . import fill, geometry, sift
from .options import Options
from .picture import View

_BOX = 16               # side of the window of the local correlation, thumbnail pixels
_WHOLE_WINDOW = np.ones((_BOX + 2, _BOX + 2), np.uint8)        # and one pixel around, where warping blends in nothing
_BLUR = 1.5             # sigma, thumbnail pixels
_FLOOR = 4.0            # least variance in the denominator: noise on a flat patch must not correlate
_TEXTURED = 9.0         # variance above which a window is judged
_CORRELATED = 0.6
_LEAST_WINDOWS = 50
_LEAST_LEFT = 0.5       # of the windows of the overlap, without fill
_NEIGHBOURHOOD_PX = 20  # of a 256-pixel image: where a refined match may lie
_HOPEFUL = 0.3          # agreement from which a failed map is worth another look


class Check(NamedTuple):
    """Result of a geometric check: `inliers` at distinct positions, pixel `agreement` in [0, 1], `affine` [2, 3]
    from working pixels of the query to those of the reference, and the inlying points of both, [n, 2]."""

    inliers: int
    agreement: float
    affine: Optional[np.ndarray]
    query_points: np.ndarray
    reference_points: np.ndarray

    @property
    def strength(self) -> float:
        """What decides between several references."""
        return self.inliers * self.agreement

    def is_copy(self, options: Options) -> bool:
        """The decision."""
        return self.inliers >= options.min_inliers and self.agreement >= options.min_agreement


_NOTHING = Check(0, 0.0, None, np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32))


def verify(query: View, reference: View, options: Options) -> Check:
    """Check whether `query` is an edited copy of `reference` (not of its mirror image: see `View.mirrored`).

    A map that nearly convinces is judged again without the query's fill, then refined with matches it helps to find. If the
    pixels disagree although many points agree, those may sit on an overlay both wear: they are taken out and the rest
    gets a second chance.
    """
    rows, columns = mutual_matches(query.features.descriptors, reference.features.descriptors, options.ratio)
    points = query.features.points[rows], reference.features.points[columns]
    first, is_inlier = _check(query, reference, *points, options)
    if first.is_copy(options):
        return first
    if first.agreement >= _HOPEFUL:
        bare = first._replace(agreement=agreement(query, reference, first.affine, with_fill=False))
        if bare.is_copy(options):
            return bare
        guided = guided_matches(query, reference, first.affine, options)
        refined, _ = _check(query, reference, *guided, options)
        if refined.is_copy(options):
            return refined
    if first.inliers >= options.min_inliers:
        second, _ = _check(query, reference, points[0][~is_inlier], points[1][~is_inlier], options)
        if second.is_copy(options):
            return second
    return first


def mutual_matches(query: np.ndarray, reference: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Row pairs of descriptors uint8 [n, 128] and [m, 128] that are each other's nearest neighbours and clearly so.

    The distance to the nearest must be at most `ratio` times the distance to the second nearest reference descriptor.
    """
    if len(query) == 0 or len(reference) < 2:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    squared = _squared_distances(query, reference)
    nearest, every = squared.argmin(axis=1), np.arange(len(squared))
    is_mutual = squared.argmin(axis=0)[nearest] == every
    first = squared[every, nearest]
    squared[every, nearest] = np.inf
    second = squared.min(axis=1)
    keep = is_mutual & (second > 0) & (first <= ratio * ratio * second)
    return every[keep], nearest[keep]


def guided_matches(query: View, reference: View, affine: np.ndarray, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 2] of both pictures that match near where `affine` says; no ratio test, so repeated detail counts."""
    squared = _squared_distances(query.features.descriptors, reference.features.descriptors)
    place, reach = geometry.apply(affine, query.features.points), _NEIGHBOURHOOD_PX * options.size / 256
    for axis in (0, 1):
        squared[np.abs(place[:, axis, None] - reference.features.points[:, axis]) > reach] = np.inf
    nearest = squared.argmin(axis=1)
    every = np.arange(len(squared))
    keep = squared[every, nearest] < options.max_distance * sift.SCALE ** 2
    keep &= squared.argmin(axis=0)[nearest] == every
    return query.features.points[keep], reference.features.points[nearest[keep]]


def _squared_distances(query: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Between RootSIFT vectors, in units of 1 / SCALE ** 2; float32 [n, m]."""
    return faiss.pairwise_distances(sift.rootsift(query), sift.rootsift(reference))


def _check(query: View, reference: View, source: np.ndarray, target: np.ndarray,
           options: Options) -> tuple[Check, np.ndarray]:
    """The best map between matched points with its evidence, and which points obey it."""
    nobody = np.zeros(len(source), bool)
    if len(source) < options.min_inliers - 1:       # one fewer than a copy needs: still worth reporting as close
        return _NOTHING, nobody
    affine, mask = cv2.estimateAffine2D(source, target, method=cv2.RANSAC, ransacReprojThreshold=_reach(options),
                                        maxIters=options.ransac_trials, confidence=options.ransac_confidence)
    if affine is None or not geometry.is_plausible(affine):
        return _NOTHING, nobody
    is_inlier = mask.ravel().astype(bool)
    source, target = source[is_inlier], target[is_inlier]
    count = min(_distinct(source), _distinct(target))
    score = agreement(query, reference, affine) if count >= options.min_inliers - 1 else 0.0
    return Check(count, score, affine, source, target), is_inlier


def _reach(options: Options) -> float:
    return options.ransac_px * options.size / 256


def _distinct(points: np.ndarray) -> int:
    """Number of different pixels; a key point with two orientations is one place."""
    return len(np.unique(np.round(points).astype(np.int64) @ (1 << 20, 1)))


def agreement(query: View, reference: View, affine: np.ndarray, with_fill: bool = True) -> float:
    """Share of the textured windows of the overlap in which aligned pixels correlate, in [0, 1].

        ncc(p) = cov_16(a, b) / sqrt( max(var_16 a, 4) * max(var_16 b, 4) )
        T = { p : window inside the overlap, and var a > 9 or var b > 9 }
        agreement = |{ p in T : ncc(p) > 0.6 }| / |T|,   0 if |T| < 50

    with a the query's thumbnail warped onto b, the reference's, both blurred with sigma 1.5.

    Args:
        query, reference: the two pictures.
        affine: [2, 3], from working pixels of the query to those of the reference.
        with_fill: does fill in the query belong to the overlap? Without it the agreement is 0 if less than half of the
            windows are left: what disagrees must not be excused as a plain background.
    """
    height, width = reference.thumbnail.shape
    into = geometry.compose(geometry.rescaling(reference.shape, (height, width)), geometry.compose(
        affine, geometry.rescaling(query.thumbnail.shape, query.shape)))
    thumbnail = np.ascontiguousarray(query.thumbnail)
    warped = cv2.warpAffine(thumbnail, into, (width, height), flags=cv2.INTER_LINEAR)
    inside = _windows_within(np.full_like(thumbnail, 255), into, (width, height))
    if not with_fill:
        whole, inside = inside, _windows_within(fill.all_but_fill(thumbnail), into, (width, height))
        if np.count_nonzero(inside) < _LEAST_LEFT * np.count_nonzero(whole):
            return 0.0
    a, b = (cv2.GaussianBlur(i.astype(np.float32), (0, 0), _BLUR) for i in (warped, reference.thumbnail))
    return _share_correlated(a, b, inside)


def _windows_within(mask: np.ndarray, into: np.ndarray, size: tuple) -> np.ndarray:
    """Which windows of a picture of `size` (width, height) lie inside a mask that the map `into` takes there?"""
    overlap = cv2.warpAffine(mask, into, size, flags=cv2.INTER_NEAREST)
    return cv2.erode(overlap, _WHOLE_WINDOW, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0


def _share_correlated(a: np.ndarray, b: np.ndarray, inside: np.ndarray) -> float:
    mean_a, mean_b = _box(a), _box(b)
    variance_a, variance_b = _box(a * a) - mean_a ** 2, _box(b * b) - mean_b ** 2
    judged = inside & ((variance_a > _TEXTURED) | (variance_b > _TEXTURED))
    count = np.count_nonzero(judged)
    if count < _LEAST_WINDOWS:
        return 0.0
    covariance = _box(a * b) - mean_a * mean_b
    correlation = covariance / np.sqrt(np.maximum(variance_a, _FLOOR) * np.maximum(variance_b, _FLOOR))
    return float(np.count_nonzero(judged & (correlation > _CORRELATED)) / count)


def _box(values: np.ndarray) -> np.ndarray:
    return cv2.boxFilter(values, cv2.CV_32F, (_BOX, _BOX))
