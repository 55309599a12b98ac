"""What a selector is: a function (manifest, **options) -> Selection that sees columns, never images."""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from dedup.lists import Paths

from ...data.manifest import Manifest
from ...errors import InputError
from ...registry import Registry
from .path_keys import order_ties

SELECTORS = Registry("selector")
ONE = np.float16(1).view(np.uint16)     # bits of float16 from 0 to 1 are in the order of the numbers, and 1.0 is the last
_BLOCK = 1 << 20                        # scores that are looked at together


class Selection(NamedTuple):
    """Rows of a manifest that were chosen, in the order of the manifest.

    Attributes:
        row: int64 [n].
        label: int64 [n], the class that each was chosen for.
        score: float16 [n], the teacher's probability of that class.
        rank: int64 [n], place within the class, from 0.
    """

    row: np.ndarray
    label: np.ndarray
    score: np.ndarray
    rank: np.ndarray


class Block(NamedTuple):
    """Consecutive rows of a scored manifest; `row` int64 [n], `label` [n, P] with -1 for none, `bits` uint16 [n, P].

    `bits` are the float16 scores as whole numbers, which are compared and sorted in their place.
    """

    row: np.ndarray
    label: np.ndarray
    bits: np.ndarray

    def take(self, rows: np.ndarray) -> Block:
        """The rows where a mask is true."""
        return Block(*(column[rows] for column in self))


def blocks(manifest: Manifest) -> Iterator[Block]:
    """The columns "teacher_class" int [N, P] and "score" float16 [N, P] in parts, checked; no column is copied whole.

    A row without a teacher's opinion (a copy, unreadable, not scored) has class -1 throughout, and any score.

    Raises:
        InputError: a column is missing or of another type, or a score lies outside [0, 1] or is NaN.
    """
    classes, scores = (_column(manifest, name) for name in ("teacher_class", "score"))
    if scores.dtype != np.float16 or classes.dtype.kind not in "iu" or classes.ndim != 2 or classes.shape != scores.shape:
        raise InputError(f"{_name(manifest)}: expected the columns 'teacher_class' (integers) and 'score' (float16) of one "
                         f"shape [rows, P], found {classes.dtype} {list(classes.shape)} and {scores.dtype} "
                         f"{list(scores.shape)}. Score the list again.")
    step = max(1, _BLOCK // max(1, classes.shape[1]))
    for first in range(0, len(classes), step):
        label, bits = np.asarray(classes[first:first + step]), np.asarray(scores[first:first + step]).view(np.uint16)
        wrong = ((bits > ONE) & (label >= 0)).any(1)
        if wrong.any():
            row = first + int(np.argmax(wrong))
            raise InputError(f"{manifest.place(row)}: the score {scores[row].tolist()} is no probability between 0 and 1.")
        yield Block(np.arange(first, first + len(label)), label, bits)


def candidates(manifest: Manifest) -> np.ndarray:
    """The rows that the teacher has an opinion of: int64, ascending; the columns are checked as in `blocks`."""
    return np.concatenate([np.zeros(0, np.int64), *(block.row[block.label[:, 0] >= 0] for block in blocks(manifest))])


def ranked(paths: Paths, row: np.ndarray, group: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order candidates by group, then value ascending, then path ascending (bytes of UTF-8).

    Args:
        paths: of the manifest.
        row: int [n].
        group: int [n] in [0, 2**31).
        value: unsigned numbers of at most 32 bits [n].

    Returns:
        order int64 [n], the candidates in that order; rank int64 [n], place of each ordered candidate in its group.
    """
    key = group.astype(np.int64) << 32 | value.astype(np.int64)
    order = np.argsort(key, kind="stable")
    key = key[order]
    order = order[order_ties(paths, row[order], key)]
    group = key >> 32
    return order, np.arange(len(order)) - np.searchsorted(group, group, side="left")


def best_class_selection(manifest: Manifest, row: np.ndarray) -> Selection:
    """The given rows, ascending, each for the class that the teacher is surest of."""
    label = manifest.columns["teacher_class"][row, 0].astype(np.int64)
    score = np.asarray(manifest.columns["score"][row, 0])
    order, place = ranked(manifest.path, row, label, ONE - score.view(np.uint16))
    rank = np.empty(len(row), np.int64)
    rank[order] = place
    return Selection(row, label, score, rank)


def _column(manifest: Manifest, name: str) -> np.ndarray:
    if name not in manifest.columns:
        raise InputError(f"{_name(manifest)} has no column '{name}'. Score it with a teacher first.")
    return manifest.columns[name]


def _name(manifest: Manifest) -> str:
    return str(manifest.source or "the list")
