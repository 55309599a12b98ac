"""What a teacher's answer must be to be stored, and its most probable classes."""
from __future__ import annotations

import numpy as np

from ..errors import InputError

_TOLERANCE = 1e-3               # how far a distribution's sum may lie from 1


def check_distributions(probabilities: np.ndarray, class_num: int, where: str) -> None:
    """Refuse what is not float [n, class_num] with rows that sum to 1.

    Raises:
        InputError: naming the first wrong row and its sum.
    """
    if probabilities.ndim != 2 or probabilities.shape[1] != class_num:
        raise InputError(f"labels of the shape {list(probabilities.shape)} do not fit {where}, which is for {class_num} "
                         "classes.")
    total = probabilities.sum(axis=1, dtype=np.float64)
    _require((np.abs(total - 1) <= _TOLERANCE) & (probabilities.min(axis=1) >= 0), probabilities, "a sum of 1")


def check_pairs(ids: np.ndarray, probabilities: np.ndarray, class_num: int, where: str) -> None:
    """Refuse what cannot be the most probable classes of distributions, descending.

    Args:
        ids: int [n, K].
        probabilities: float [n, K].
        class_num, where: of what they are for.

    Raises:
        InputError: ids that are no classes, or repeated; probabilities that are not in order or sum to more than 1.
    """
    outside = ids[(ids < 0) | (ids >= class_num)]
    if len(outside):
        raise InputError(f"the class {outside[0]} is out of range: {where} has {class_num} classes (0 to {class_num - 1}).")
    ordered = np.sort(ids, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        raise InputError(f"label {twice.argmax()} names a class twice: {ids[twice.argmax()].tolist()}.")
    total = probabilities.sum(axis=1, dtype=np.float64)
    _require((total <= 1 + _TOLERANCE) & (probabilities.min(axis=1) >= 0), probabilities, "a sum of at most 1")
    _require((np.diff(probabilities, axis=1) <= 0).all(axis=1), probabilities, "descending order, a sum of at most 1")


def greatest(probabilities: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k greatest of each row, descending, the lower id first where they tie: ids int64 [n, k], values [n, k]."""
    left, rows = probabilities.copy(), np.arange(len(probabilities))
    ids = np.empty((len(left), k), np.int64)
    for rank in range(k):           # as fast as a partial sort for few of many classes, which leaves ties to chance
        ids[:, rank] = left.argmax(axis=1)
        left[rows, ids[:, rank]] = -1
    return ids, np.take_along_axis(probabilities, ids, axis=1)


def _require(right: np.ndarray, probabilities: np.ndarray, expected: str) -> None:
    if not right.all():
        row = int((~right).argmax())
        values = probabilities[row].astype(np.float64)
        raise InputError(f"label {row} is no distribution: it sums to {values.sum():.6g}, its least entry is "
                         f"{values.min():.6g}; expected {expected} (within {_TOLERANCE}) and nothing negative. Soft labels are "
                         "made of probabilities (after softmax), not of logits.")
