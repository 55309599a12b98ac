"""Are two pool pictures duplicates? Geometry and pixels, or colour and hash where there is nothing to align."""
from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Optional

import cv2
import numpy as np

from .. import geometry, hashes
from ..errors import InputError
from ..images import ImageError, read_bytes
from ..options import Options
from ..picture import Picture, View, describe, mean_colour
from ..verify import Check, agreement, guided_matches, verify
from .work import Work

_HELD = 512         # pictures a task keeps, 60 kB each
_MIDDLE_AGREEMENT = 0.4     # copies have at least 0.5 there, different pictures in one frame mostly below 0.3
_AROUND = 9         # thumbnail pixels that `agreement` does not judge along an edge


class Duplicate(NamedTuple):
    """Why a picture is a duplicate of a better one: see `Match`."""

    inliers: int
    agreement: float
    hash_distance: int
    affine: Optional[np.ndarray]
    mirrored: bool


class Pictures:
    """Descriptions of pool pictures; the last used ones are held."""

    def __init__(self, work: Work):
        self.work, self.held = work, OrderedDict()

    def __getitem__(self, row: int) -> Picture:
        if row not in self.held:
            self.held[row] = describe(self._bytes(row), self.work.options)
            if len(self.held) > _HELD:
                self.held.popitem(last=False)
        self.held.move_to_end(row)
        return self.held[row]

    def colour(self, row: int) -> np.ndarray:
        """Mean colour of a picture."""
        known = self[row].colour
        return mean_colour(self._bytes(row)) if known is None else known

    def _bytes(self, row: int) -> bytes:
        file = self.work.picture_file(row)
        try:
            return read_bytes(file)
        except ImageError as error:
            raise InputError(f"{file} could be read before and cannot be read now: {error}. Bring it back, or remove "
                             f"{self.work.folder} to begin anew.") from error

    def compare(self, query: int, reference: int) -> Optional[Duplicate]:
        """Why the picture in row `query` is a duplicate of the one in row `reference`; None if it is not."""
        ours, theirs, options = self[query], self[reference], self.work.options
        distance = _hash_distance(ours, theirs)
        for mirrored in (False, True):
            target = theirs.view.mirrored() if mirrored else theirs.view
            check = verify(ours.view, target, options)
            if check.is_copy(options) and _same_middle(ours.view, target, check.affine):
                return Duplicate(check.inliers, check.agreement, distance, _of_files(check, ours, theirs, mirrored), mirrored)
        if distance <= options.flat_hash_radius and self._same_colour(query, reference, options):
            return Duplicate(0, 0.0, distance, None, False)
        return None

    def compare_along(self, query: int, reference: int, affine: np.ndarray) -> Optional[Duplicate]:
        """The same where a third picture tells how the two lie on each other: key points are matched nearby only.

        Args:
            query, reference: rows.
            affine: [2, 3], expected map from pixels of the query's file to pixels of the reference's.
        """
        ours, theirs, options = self[query], self[reference], self.work.options
        mirrored = bool(np.linalg.det(affine[:, :2]) < 0)
        target = theirs.view.mirrored() if mirrored else theirs.view
        check = _guided(ours.view, target, _of_views(affine, ours, theirs, mirrored), options)
        if not (check.is_copy(options) and _same_middle(ours.view, target, check.affine)):
            return None
        return Duplicate(check.inliers, check.agreement, _hash_distance(ours, theirs),
                         _of_files(check, ours, theirs, mirrored), mirrored)

    def _same_colour(self, query: int, reference: int, options: Options) -> bool:
        if self[query].colour is None and self[reference].colour is None:
            return False
        return bool(np.abs(self.colour(query) - self.colour(reference)).max() <= options.flat_colour)


def _hash_distance(query: Picture, reference: Picture) -> int:
    """Least Hamming distance over the orientations of one."""
    bits = hashes.dihedral_hashes(query.coefficients) ^ hashes.hash_of(reference.coefficients)
    return int(np.unpackbits(bits, axis=1).sum(axis=1).min())


def _of_files(check: Check, query: Picture, reference: Picture, mirrored: bool) -> np.ndarray:
    """The map of a check, from pixels of the query's file to pixels of the reference's."""
    affine = geometry.compose(check.affine, geometry.rescaling(query.shape, query.view.shape))
    if mirrored:
        affine = geometry.compose(geometry.mirroring(reference.view.shape[1]), affine)
    return geometry.compose(geometry.rescaling(reference.view.shape, reference.shape), affine)


def _of_views(affine: np.ndarray, query: Picture, reference: Picture, mirrored: bool) -> np.ndarray:
    """The inverse of `_of_files`: a map between files as one between working pixels."""
    affine = geometry.compose(affine, geometry.rescaling(query.view.shape, query.shape))
    affine = geometry.compose(geometry.rescaling(reference.shape, reference.view.shape), affine)
    return geometry.compose(geometry.mirroring(reference.view.shape[1]), affine) if mirrored else affine


def _guided(query: View, reference: View, affine: np.ndarray, options: Options) -> Check:
    """The check with key points that match near where `affine` says."""
    source, target = guided_matches(query, reference, affine, options)
    nothing = Check(0, 0.0, None, source[:0], target[:0])
    if len(source) < options.min_inliers:
        return nothing
    refined, mask = cv2.estimateAffine2D(source, target, method=cv2.RANSAC, maxIters=options.ransac_trials,
                                         ransacReprojThreshold=options.ransac_px * options.size / 256,
                                         confidence=options.ransac_confidence)
    if refined is None or not geometry.is_plausible(refined):
        return nothing
    source, target = source[mask.ravel() > 0], target[mask.ravel() > 0]
    places = min(len(np.unique(np.round(points), axis=0)) for points in (source, target))
    return Check(places, agreement(query, reference, refined), refined, source, target)


def _same_middle(query: View, reference: View, affine: np.ndarray) -> bool:
    """Does the middle of the overlap agree too, if there is anything to see in it?

    Two pictures in one and the same frame, with a margin around it, agree in more than half of what is textured. In a
    pool both may have come that way.
    """
    query, reference, affine = _in_thumbnails(query, reference, affine)
    corners = geometry.apply(affine, np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * query.shape[::-1])
    low, high = np.clip([corners.min(axis=0), corners.max(axis=0)], 0, reference.shape[::-1])
    left, top = np.maximum((0.75 * low + 0.25 * high - _AROUND).astype(int), 0).tolist()
    right, bottom = np.ceil(0.25 * low + 0.75 * high + _AROUND).astype(int).tolist()
    thumbnail = np.ascontiguousarray(reference.thumbnail[top:bottom, left:right])
    middle = reference._replace(shape=thumbnail.shape, thumbnail=thumbnail)
    score = agreement(query, middle, affine - [[0, 0, left], [0, 0, top]])
    return score >= _MIDDLE_AGREEMENT or agreement(middle, middle, geometry.IDENTITY) == 0      # too flat to tell


def _in_thumbnails(query: View, reference: View, affine: np.ndarray) -> tuple[View, View, np.ndarray]:
    """Two views and their map, where the working pixels are those of the thumbnails."""
    affine = geometry.compose(affine, geometry.rescaling(query.thumbnail.shape, query.shape))
    affine = geometry.compose(geometry.rescaling(reference.shape, reference.thumbnail.shape), affine)
    return query._replace(shape=query.thumbnail.shape), reference._replace(shape=reference.thumbnail.shape), affine
