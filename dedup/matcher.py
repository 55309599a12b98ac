"""The cost ladder for one picture: bytes, hash, votes, embedding; then geometry and pixels for what is left."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from . import geometry, hashes, voting
from .match import Match
from .network.embedding import Cosines
from .options import Options
from .picture import Picture
from .reference import References
from .verify import Check, verify

_MIRRORED_ORIENTATIONS = frozenset({1, 2, 4, 7})        # of `hashes.dihedral_hashes`
_CLOSE = (4, 0.30)                                      # inliers and agreement from which a pair is worth a look
_SAME_PIXELS = 1.0


class Candidate(NamedTuple):
    """A reference, as is or mirrored, that may be the source of a picture, and who proposed it."""

    row: int
    mirrored: bool
    reason: str
    hash_distance: Optional[int] = None
    cosine: Optional[float] = None


class Matcher:
    """Compares pictures with all references.

    Args:
        names: of the references.
        references: their columns.
        options: every threshold.
    """

    def __init__(self, names: Sequence[str], references: References, options: Options):
        self.names, self.references, self.options = names, references, options
        self.hash_table = hashes.HashTable(references["hashes"].reshape(-1, hashes.BYTES))
        self.votes = voting.Votes(references["offsets"], references["sizes"], references["angles"])
        self.rows_of_bytes: dict[bytes, list[int]] = {}
        for row, digest in enumerate(references["sha256"]):
            self.rows_of_bytes.setdefault(digest.tobytes(), []).append(row)

    def same_bytes(self, name: str, digest: bytes) -> list[Match]:
        """References with the very bytes of a file of the given SHA-256."""
        return [Match(name, self.names[row], "sha256", 0, _SAME_PIXELS, 0, None, geometry.IDENTITY, False)
                for row in sorted(self.rows_of_bytes.get(digest, ()), key=self.names.__getitem__)]

    def compare(self, name: str, picture: Picture, nearest: tuple[np.ndarray, np.ndarray],
                cosines: Optional[Cosines]) -> tuple[list, list]:
        """Copies, the best first, and near misses of one picture.

        Args:
            name: of the picture.
            picture: its description.
            nearest: what `voting.nearest` finds for its descriptors.
            cosines: of its embedding with each reference; None without a network.
        """
        near = self._hash_hits(picture)
        found, close, seen = [], [], set()
        for candidate in self._candidates(picture, near, nearest, cosines):
            if (candidate.row, candidate.mirrored) in seen:
                continue
            seen.add((candidate.row, candidate.mirrored))
            check = verify(picture.view, self.references.view(candidate.row, candidate.mirrored), self.options)
            if check.is_copy(self.options):
                found.append((check.strength, self._match(name, picture, candidate, check)))
            elif check.inliers >= _CLOSE[0] and check.agreement >= _CLOSE[1]:
                close.append((check.strength, self._match(name, picture, candidate, check)))
        matches = _ranked(found) or self._without_geometry(name, picture, near, cosines)
        return matches, [] if matches else _ranked(close)[:1]

    def _hash_hits(self, picture: Picture) -> dict[int, tuple[int, int]]:
        """Reference row -> (distance, orientation) of every hash within the radius, nearest first."""
        rows, distances = self.hash_table.within(hashes.hash_of(picture.coefficients), self.options.hash_radius)
        nearest: dict[int, tuple[int, int]] = {}
        for row, distance in zip(rows.tolist(), distances.tolist()):
            nearest.setdefault(row // hashes.ORIENTATIONS, (distance, row % hashes.ORIENTATIONS))
        return nearest

    def _candidates(self, picture: Picture, near: dict, nearest: tuple, cosines: Optional[Cosines]):
        if picture.is_flat:
            return
        limit, options = self.options.candidates, self.options
        sound = [row for row in near if min(picture.quality, self.references["quality"][row]) >= options.hash_quality]
        for row in sound[:limit]:
            distance, orientation = near[row]
            yield Candidate(row, orientation in _MIRRORED_ORIENTATIONS, "hash", distance, _at(cosines, row))
        least = options.min_share * len(picture.view.features.sizes)
        for row, mirrored, score in self.votes.candidates(picture.view.features, *nearest, options):
            if score >= least:
                yield Candidate(row, mirrored, "sift", near.get(row, (None,))[0], _at(cosines, row))
        if cosines is not None:
            for row, cosine in cosines.above(options.t_cand, limit):
                for mirrored in (False, True):
                    yield Candidate(row, mirrored, "feature", near.get(row, (None,))[0], cosine)

    def _match(self, name: str, picture: Picture, candidate: Candidate, check: Check) -> Match:
        working, shape = (self.references[c][candidate.row] for c in ("working_shape", "shape"))
        affine = geometry.compose(check.affine, geometry.rescaling(picture.shape, picture.view.shape))
        if candidate.mirrored:
            affine = geometry.compose(geometry.mirroring(working[1]), affine)
        affine = geometry.compose(geometry.rescaling(working, shape), affine)
        return Match(name, self.names[candidate.row], candidate.reason, check.inliers, check.agreement,
                     candidate.hash_distance, candidate.cosine, affine, candidate.mirrored)

    def _without_geometry(self, name: str, picture: Picture, near: dict, cosines: Optional[Cosines]) -> list[Match]:
        """What cannot be aligned: sparse pictures of equal hash and colour, and what an embedding is sure of."""
        matches = []
        for row, (distance, orientation) in near.items():
            if distance <= self.options.flat_hash_radius and self._same_colour(picture, row):
                matches.append(Match(name, self.names[row], "hash", 0, 0.0, distance, _at(cosines, row), None,
                                     orientation in _MIRRORED_ORIENTATIONS))
        if not matches and cosines is not None and self.options.t_auto is not None:
            matches = [Match(name, self.names[row], "feature", 0, 0.0, near.get(row, (None,))[0], cosine, None, False)
                       for row, cosine in cosines.above(self.options.t_auto)]
        return matches

    def _same_colour(self, picture: Picture, row: int) -> bool:
        if picture.colour is None:
            return False
        return bool(np.abs(picture.colour - self.references["colour"][row]).max() <= self.options.flat_colour)


def _ranked(scored: list) -> list[Match]:
    """Matches by strength, ties by name; of a reference found both ways only the better one."""
    ordered = [match for _, match in sorted(scored, key=lambda pair: (-pair[0], pair[1].reference, pair[1].mirrored))]
    return list({m.reference: m for m in reversed(ordered)}.values())[::-1]


def _at(cosines: Optional[Cosines], row: int) -> Optional[float]:
    return None if cosines is None else cosines.at(row)
