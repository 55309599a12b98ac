"""What a comparison says, and how it is written to a table."""
from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np

from .errors import InputError
from .files import atomic_write

COLUMNS = ("pool_path", "eval_path", "reason", "inliers", "agreement", "hash_distance", "cosine", "affine", "mirrored")
ERROR_COLUMNS = ("path", "stage", "class", "message")
REASONS = ("sha256", "hash", "sift", "feature", "pool-duplicate", "listed", "override")


class Match(NamedTuple):
    """Why `query` is taken for a copy of `reference`.

    `reason` says which step proposed the pair: sha256 (same bytes), hash, sift or feature (an embedding); or that it is a
    pool-duplicate, whose `reference` is the pool picture that stays in its place; or listed, in use already, whose
    `reference` is the known file of the same bytes; or an override, a person's decision, whose `reference` is empty.
    `inliers` and `agreement` in [0, 1] are what the geometric check found, 0 where it was not asked. `affine` [2, 3] maps
    pixels of the query to pixels of the reference, both as stored in their files and turned upright; None if
    unknown. `mirrored` says that it exchanges left and right. `hash_distance` (bits of 256) and `cosine` are None
    where no such comparison was made.
    """

    query: str
    reference: str
    reason: str
    inliers: int
    agreement: float
    hash_distance: Optional[int]
    cosine: Optional[float]
    affine: Optional[np.ndarray]
    mirrored: bool


class Failure(NamedTuple):
    """An image that could not be used: its path, the step, the class of the error and its message."""

    path: str
    stage: str
    kind: str
    message: str


class ShardResult(NamedTuple):
    """What `ReferenceIndex.match` found out about some pictures.

    Args:
        matches: copies; all references of a picture stand together, the best first.
        close: nearest references of pictures that were kept by a narrow margin.
        errors: pictures that could not be read.
        counts: number of "images", of those "truncated" and of those with "no_local_features".
        digests: SHA-256 of every file, 32 bytes each, in the order of the query; zeros where there is no file to read.
    """

    matches: list
    close: list
    errors: list
    counts: dict
    digests: list

    def best(self) -> list:
        """The first match of every copy, in the order of the query."""
        return list({m.query: m for m in reversed(self.matches)}.values())[::-1]


def match_to_row(match: Match) -> list[str]:
    """The cells of a match; floats round trip."""
    affine = "" if match.affine is None else ",".join(f"{v:.6g}" for v in match.affine.ravel())
    return [match.query, match.reference, match.reason, str(match.inliers), f"{match.agreement:.4f}",
            "" if match.hash_distance is None else str(match.hash_distance),
            "" if match.cosine is None else f"{match.cosine:.6f}", affine, str(int(match.mirrored))]


def match_from_row(cells) -> Match:
    """The match of the given cells.

    Raises:
        ValueError: cells of another form.
    """
    query, reference, reason, inliers, agreement, distance, cosine, affine, mirrored = cells
    if reason not in REASONS:
        raise ValueError(f"reason {reason!r} is none of {', '.join(REASONS)}")
    return Match(query, reference, reason, int(inliers), float(agreement), int(distance) if distance else None,
                 float(cosine) if cosine else None,
                 np.array(affine.split(","), np.float64).reshape(2, 3) if affine else None, bool(int(mirrored)))


def write_table(path, columns, rows) -> None:
    """Write a table of tab-separated cells under a line of column names, atomically."""
    with atomic_write(path) as file:
        file.write("\t".join(columns) + "\n")
        file.writelines("\t".join(row) + "\n" for row in rows)


def read_matches(path) -> list[Match]:
    """The matches in a `removed.tsv`.

    Raises:
        InputError: the file cannot be read or is no such table; the message names the line.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            lines = file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. Expected the removed.tsv of a run.") from error
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise InputError(f"{path}:1: expected the columns {', '.join(COLUMNS)}, got {lines[0]!r}. Give the removed.tsv "
                         "of a run.")
    matches = []
    for number, line in enumerate(lines[1:], start=2):
        if line:
            try:
                matches.append(match_from_row(line.split("\t")))
            except ValueError as error:
                raise InputError(f"{path}:{number}: not a match: {error}. Was the file edited by hand?") from error
    return matches
