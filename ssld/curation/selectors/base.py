"""What a selector is: a function (manifest, **options) -> Selection that sees columns, never images."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...data.manifest import Manifest
from ...errors import InputError
from ...registry import Registry

SELECTORS = Registry("selector")


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


def scores_of(manifest: Manifest) -> tuple[np.ndarray, np.ndarray]:
    """The columns "teacher_class" [N, P] and "score" [N, P], checked.

    Raises:
        InputError: a column is missing, or a score lies outside [0, 1] or is NaN.
    """
    for name in ("teacher_class", "score"):
        if name not in manifest.columns:
            raise InputError(f"{manifest.source or 'the list'} has no column '{name}'. Score it with a teacher first.")
    classes, scores = (np.asarray(manifest.columns[name]) for name in ("teacher_class", "score"))
    wrong = ~((scores >= 0) & (scores <= 1)).all(1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{manifest.place(row)}: the score {scores[row].tolist()} is no probability between 0 and 1.")
    return classes, scores


def ranked(manifest: Manifest, row: np.ndarray, label: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order candidates by class, then score descending, then path ascending (bytes of UTF-8).

    Args:
        manifest: for the paths.
        row, label, score: [n] each, one entry per (image, class) candidate.

    Returns:
        order int64 [n], the candidates in that order; rank int64 [n], place of each ordered candidate in its class.
    """
    order = np.lexsort((row, -score.astype(np.float32), label))
    same = (label[order][1:] == label[order][:-1]) & (score[order][1:] == score[order][:-1])
    starts = np.flatnonzero(np.concatenate([[True], ~same]))[: len(order)]
    stops = np.append(starts[1:], len(order))
    for start, stop in zip(starts[stops - starts > 1], stops[stops - starts > 1]):
        order[start:stop] = sorted(order[start:stop], key=lambda i: manifest.path.bytes(int(row[i])))
    labels = label[order]
    first = np.searchsorted(labels, labels, side="left")
    return order, np.arange(len(order)) - first
