"""Columns of strings, held compactly enough for fourteen million rows, and compared without a Python loop over rows."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

_ROWS, _BYTES = 1 << 18, 1 << 24     # worked on at once: bounds the memory of every operation
_WORD = 8                       # bytes compared at once
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(_WORD + 1)], np.uint64)
_MULTIPLIERS = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)     # of splitmix64


def byte_places(blob: np.ndarray, characters: bytes) -> np.ndarray:
    """Where a block of bytes, uint8 [N], has one of some characters: int64, ascending."""
    found = [np.zeros(0, np.int64)]
    for offset in range(0, len(blob), _BYTES):
        block = blob[offset:offset + _BYTES]
        found.append(offset + np.flatnonzero(np.logical_or.reduce([block == c for c in characters])))
    return np.concatenate(found)


def _decodes(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class Paths(Sequence):
    """An immutable column of strings: one block of UTF-8 bytes and where each string starts and stops.

    numpy's fixed-width strings would need the longest path times the number of rows; this needs the text once and
    16 bytes a row. Rows are read as `str`.

    Args:
        blob: uint8 [bytes].
        start, stop: int64 [N], byte positions of each string in `blob`.
    """

    def __init__(self, blob: np.ndarray, start: np.ndarray, stop: np.ndarray):
        self.blob, self.start, self.stop = blob, start, stop

    @classmethod
    def of(cls, strings: Iterable[str]) -> Paths:
        """A column of the given strings."""
        if isinstance(strings, Paths):
            return strings
        encoded = [s.encode("utf-8", "surrogateescape") for s in strings]
        stop = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        start = np.concatenate([np.zeros(1, np.int64), stop[:-1]]) if len(encoded) else stop
        return cls(np.frombuffer(b"".join(encoded), np.uint8), start, stop)

    @classmethod
    def concatenate(cls, columns: Sequence[Paths]) -> Paths:
        """The rows of several columns, one column after the other."""
        shift = np.cumsum([0] + [len(c.blob) for c in columns])
        return cls(np.concatenate([c.blob for c in columns] or [np.zeros(0, np.uint8)]),
                   np.concatenate([c.start + s for c, s in zip(columns, shift)] or [np.zeros(0, np.int64)]),
                   np.concatenate([c.stop + s for c, s in zip(columns, shift)] or [np.zeros(0, np.int64)]))

    def take(self, rows) -> Paths:
        """The rows at the given positions, or where a boolean mask is true."""
        return Paths(self.blob, self.start[rows], self.stop[rows])

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, row):
        if isinstance(row, slice):
            return self.take(row)
        return self.bytes(row).decode("utf-8", "surrogateescape")

    def bytes(self, row: int) -> bytes:
        """The UTF-8 bytes of one row; paths are ordered by these."""
        return self.blob[self.start[row]:self.stop[row]].tobytes()

    def __eq__(self, other) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(a == b for a, b in zip(self, other))

    def __repr__(self) -> str:
        return f"Paths({len(self)} rows)"

    def text(self) -> Iterator[bytes]:
        """The rows, each ended by "\\n", as blocks of bytes that together are the text of a list file."""
        for block in self._blocks():
            size = block.stop - block.start + 1
            begin = np.cumsum(size) - size          # where each row begins in the text of the block
            source = np.arange(size.sum()) + np.repeat(block.start - begin, size)
            source[begin + size - 1] = 0            # the line ends, which may lie behind the last byte
            joined = self.blob[source] if len(self.blob) else np.zeros(len(source), np.uint8)
            joined[begin + size - 1] = ord("\n")
            yield joined.tobytes()

    def sha256(self) -> str:
        """SHA-256 of the rows, each ended by "\\n", as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for block in self.text():
            digest.update(block)
        return digest.hexdigest()

    def holding(self, characters: bytes) -> np.ndarray:
        """Which rows hold at least one of some ASCII characters, bool [N]."""
        places = byte_places(self.blob, characters)
        return np.searchsorted(places, self.start) < np.searchsorted(places, self.stop)

    def is_utf8(self) -> np.ndarray:
        """Which rows are valid UTF-8, bool [N]; others are file names of another encoding."""
        valid = np.ones(len(self), bool)
        for first, text in zip(range(0, len(self), _ROWS), self.text()):
            if not _decodes(text):
                for row in range(first, min(first + _ROWS, len(self))):
                    valid[row] = _decodes(self.bytes(row))
        return valid

    def first_rows(self) -> np.ndarray:
        """For every row the first row with the same string, int64 [N]; exact."""
        hashes = np.concatenate([np.zeros(0, np.uint64), *(block._hashes() for block in self._blocks())])
        order = np.argsort(hashes, kind="stable")
        hashes = hashes[order]
        follows = np.flatnonzero(hashes[1:] == hashes[:-1]) + 1         # places in `order` behind one of equal hash
        begins = np.ones(len(order), bool)
        begins[follows] = False
        leader = np.flatnonzero(begins)[np.cumsum(begins) - 1][follows]
        first = np.arange(len(self))
        first[order[follows]] = order[leader]
        rows = np.sort(order[follows])
        wrong = rows[~self._equal(rows, first[rows])]
        self._settle(wrong, first)
        return first

    def first_occurrences(self) -> np.ndarray:
        """Which rows hold a string that no row before them holds, bool [N]; exact."""
        return self.first_rows() == np.arange(len(self))

    def isin(self, other: Paths) -> np.ndarray:
        """Which rows hold a string that `other` holds too, bool [N]; exact."""
        return Paths.concatenate([other, self]).first_rows()[len(other):] < len(other)

    def argsort(self) -> np.ndarray:
        """The rows in the order of their UTF-8 bytes, int64 [N]; equal strings stay in their order."""
        order = np.arange(len(self))
        places, group, position = order.copy(), np.zeros(len(self), np.int64), 0
        while len(places):          # words of eight bytes, from the left, as long as rows tie
            rows = order[places]
            word, length = self._words(rows, position)
            word = word.byteswap()                  # numbers are then ordered as their bytes are
            by = np.lexsort((length, word, group))
            order[places] = rows[by]
            word, length, group = word[by], length[by], group[by]
            tie = (word[1:] == word[:-1]) & (length[1:] == length[:-1]) & (group[1:] == group[:-1])
            group = np.concatenate([[0], np.cumsum(~tie)])
            tied = np.concatenate([tie, [False]]) | np.concatenate([[False], tie])
            open_ = tied & (length == _WORD)        # shorter ones have ended: they are equal
            places, group, position = places[open_], group[open_], position + _WORD
        return order

    def _blocks(self) -> Iterator[Paths]:
        return (self[row:row + _ROWS] for row in range(0, len(self), _ROWS))

    def _words(self, rows, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Eight bytes of each row from `position` on, as a number filled up with zeros, and how many there are."""
        if len(self.blob) < _WORD:
            padded = np.concatenate([self.blob, np.zeros(_WORD, np.uint8)])
            return Paths(padded, self.start, self.stop)._words(rows, position)
        everywhere = np.ndarray(len(self.blob) - _WORD + 1, "<u8", self.blob, strides=(1,))     # a word at every byte
        begin = self.start[rows] + position
        length = np.clip(self.stop[rows] - begin, 0, _WORD)
        inside = np.minimum(begin, len(everywhere) - 1)
        missing = np.minimum(begin - inside, _WORD - 1).astype(np.uint64)       # bytes read before `begin`
        return (everywhere[inside] >> (missing * np.uint64(8))) & _MASKS[length], length

    def _hashes(self) -> np.ndarray:
        """A 64-bit hash of every row, uint64 [N]."""
        size = self.stop - self.start
        hashes = size.astype(np.uint64) * _MULTIPLIERS[0]
        rows = np.arange(len(self))
        for position in range(0, int(size.max(initial=0)), _WORD):
            rows = rows[size[rows] > position]
            mixed = (hashes[rows] ^ self._words(rows, position)[0]) * _MULTIPLIERS[1]
            hashes[rows] = (mixed ^ (mixed >> np.uint64(32))) * _MULTIPLIERS[2]
        return hashes ^ (hashes >> np.uint64(29))

    def _equal(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Which pairs of rows hold the same string, bool."""
        return np.concatenate([np.zeros(0, bool), *(
            self._equal_block(rows[at:at + _ROWS], others[at:at + _ROWS]) for at in range(0, len(rows), _ROWS))])

    def _equal_block(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        size = self.stop[rows] - self.start[rows]
        equal = size == self.stop[others] - self.start[others]
        for position in range(0, int(size.max(initial=0)), _WORD):
            left = np.flatnonzero(equal & (size > position))
            equal[left] = self._words(rows[left], position)[0] == self._words(others[left], position)[0]
        return equal

    def _settle(self, rows: np.ndarray, first: np.ndarray) -> None:
        """Correct `first` where different strings have the same hash."""
        seen: dict[bytes, int] = {}
        for row in rows.tolist():
            first[row] = seen.setdefault(self.bytes(row), row)
