"""The k best candidates of every class, from a stream of them."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dedup.lists import Paths

from ...errors import InputError
from .base import ONE, Block
from .path_keys import order_ties

MAX_CLASSES = 1 << 18
_MAX_ROWS = 1 << 32
_SLACK = 1 << 21                # candidates that are collected before the worse ones are dropped
_ROW, _LABEL = np.uint64(32), np.uint64(46)        # bits below the score, bits below the class


class Candidates(NamedTuple):
    """(image, class) pairs: row int64, label int64, bits uint16 (of a float16 score), rank int64, [n] each."""

    row: np.ndarray
    label: np.ndarray
    bits: np.ndarray
    rank: np.ndarray


class BestPerClass:
    """Keeps the k candidates of each class that come first by score descending, then path ascending.

    A candidate is one 64-bit number: 18 bits of class, 14 of the score counted down from 1.0, 32 of row, so that sorting
    numbers sorts candidates. Memory is 8 bytes times 1.25 k per class and a constant, however many candidates come;
    what is kept does not depend on their order or on how they were divided.

    Args:
        paths: of all rows.
        k: int [MAX_CLASSES], candidates per class, >= 1.
        least: bits of the least float16 score, 0 to ONE.
    """

    def __init__(self, paths: Paths, k: np.ndarray, least: int = 0):
        if len(paths) > _MAX_ROWS:
            raise InputError(f"{len(paths)} rows are more than the {_MAX_ROWS} that one selection can tell apart. Select "
                             "from parts of the list, then from what they gave.")
        self.paths, self.k = paths, k
        self.least = np.full(MAX_CLASSES, least, np.uint16)         # what a candidate of each class has to reach
        self.kept = np.zeros(0, np.uint64)
        self.new: list[np.ndarray] = []

    def add(self, block: Block) -> None:
        """Take in further rows."""
        if block.label.max(initial=-1) >= MAX_CLASSES:
            raise InputError(f"class {block.label.max()} of the teacher is out of range, classes are told apart up to "
                             f"{MAX_CLASSES - 1}.")
        entry = np.flatnonzero((block.bits >= self.least[block.label]) & (block.label >= 0))
        label, bits = (column.ravel()[entry].astype(np.uint64) for column in (block.label, block.bits))
        row = block.row[entry // block.label.shape[1]].astype(np.uint64)
        self.new.append(label << _LABEL | (np.uint64(ONE) - bits) << _ROW | row)
        if sum(map(len, self.new)) > len(self.kept) // 4 + _SLACK:
            self._reduce()

    def result(self) -> Candidates:
        """What was kept, by class and rank."""
        self._reduce()
        key = self.kept[order_ties(self.paths, _row(self.kept), self.kept >> _ROW)]
        label, bits = (key >> _LABEL).astype(np.int64), _bits(key)
        return Candidates(_row(key), label, bits, np.arange(len(key)) - np.searchsorted(label, label, side="left"))

    def _reduce(self) -> None:
        """Drop all but the k best of each class, and raise the bar to the score of the k-th."""
        keys = np.concatenate([self.kept, *self.new])
        keys.sort()
        self.new = []
        first = np.flatnonzero(np.diff(keys >> _LABEL, prepend=np.uint64(MAX_CLASSES)))
        stop = np.append(first, len(keys))[1:]
        label = (keys[first] >> _LABEL).astype(np.int64)
        cut = first + self.k[label]
        full = cut <= stop
        self.least[label[full]] = _bits(keys[cut[full] - 1])
        over = cut < stop
        self._settle(keys, cut[over])
        self.kept = keys[~_inside(len(keys), cut[over], stop[over])]

    def _settle(self, keys: np.ndarray, cut: np.ndarray) -> None:
        """Put the smaller paths first where a cut goes through candidates of equal class and score."""
        group = keys >> _ROW
        value = group[cut][group[cut] == group[cut - 1]]
        split = np.flatnonzero(_inside(len(keys), *(np.searchsorted(group, value, side) for side in ("left", "right"))))
        keys[split] = keys[split][order_ties(self.paths, _row(keys[split]), group[split])]


def _row(keys: np.ndarray) -> np.ndarray:
    return (keys & np.uint64(_MAX_ROWS - 1)).astype(np.int64)


def _bits(keys: np.ndarray) -> np.ndarray:
    return ONE - (keys >> _ROW & np.uint64(0x3FFF)).astype(np.uint16)


def _inside(length: int, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """bool [length], true in the given spans, which are not empty and do not overlap."""
    change = np.zeros(length + 1, np.int8)
    change[start] += 1
    change[stop] -= 1
    return np.cumsum(change[:-1], dtype=np.int8).view(bool)
