"""Order and hashes of millions of paths, a word of bytes at a time: no Python string is made."""
from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from dedup.lists import Paths

_STEP = 7                       # bytes of a path in one word; the eighth counts them
_MASKS = np.array([~np.uint64(0) << np.uint64(64 - 8 * n) if n else 0 for n in range(_STEP + 1)], np.uint64)
_BATCH = 1 << 20                # paths that are looked at together


def words(paths: Paths, row: np.ndarray, depth: int) -> np.ndarray:
    """Bytes `depth` to `depth` + 7 of some paths, as numbers in the order of those bytes.

    The last byte of a word holds how many of the seven there are, so a path that ends comes before one that goes on,
    and a word that ends in less than 7 is its path's last.

    Args:
        paths: the column.
        row: int [n], positions in it.
        depth: bytes to pass over.

    Returns:
        uint64 [n].
    """
    blob = paths.blob if len(paths.blob) >= 8 else np.concatenate([paths.blob, np.zeros(8, np.uint8)])
    window = np.ndarray((len(blob) - 7,), "<u8", buffer=blob, strides=(1,))       # eight bytes from every position
    start = paths.start[row] + depth
    left = np.clip(paths.stop[row] - start, 0, _STEP)
    at = np.minimum(start, len(window) - 1)
    beyond = np.minimum(start - at, 7).astype(np.uint64)        # bytes of the window that precede `start`
    word = window[at].byteswap() << (beyond << np.uint64(3))
    return (word & _MASKS[left]) | left.astype(np.uint64)


def _goes_on(word: np.ndarray) -> np.ndarray:
    return (word & np.uint64(255)) == _STEP


def path_hash(paths: Paths, row: np.ndarray, seed: int) -> np.ndarray:
    """A number per path that depends on its bytes and the seed alone; evenly spread over 64 bits.

    Args:
        paths: the column.
        row: int [n], positions in it.
        seed: another seed gives unrelated numbers.

    Returns:
        uint64 [n].

    Source: the finaliser of SplitMix64, Steele et al., "Fast splittable pseudorandom number generators", OOPSLA 2014.
    """
    start = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=8).digest(), "little")
    state = np.full(len(row), start, np.uint64)
    for part in np.split(np.arange(len(row)), range(_BATCH, len(row), _BATCH)):
        depth = 0
        while len(part):
            word = words(paths, row[part], depth)
            state[part] = _mixed(state[part] ^ word)
            part, depth = part[_goes_on(word)], depth + _STEP
    return state


def _mixed(z: np.ndarray) -> np.ndarray:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def same_paths(paths: Paths, row: np.ndarray, others: Paths, other_row: np.ndarray) -> np.ndarray:
    """bool [n], where path `row[i]` of one column is path `other_row[i]` of another."""
    same = np.ones(len(row), bool)
    active, depth = np.arange(len(row)), 0
    while len(active):
        word = words(paths, row[active], depth)
        equal = word == words(others, other_row[active], depth)
        same[active[~equal]] = False
        active, depth = active[equal & _goes_on(word)], depth + _STEP
    return same


def order_ties(paths: Paths, row: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Order the members of each group by path, as bytes of UTF-8 ascending.

    A radix sort from the front: only members that agree in all bytes so far are looked at further, and what is in order
    already, like the rows of a sorted list, is not sorted.

    Args:
        paths: the column.
        row: int [n], positions in it.
        group: [n], members of a group stand together.

    Returns:
        int64 [n], a permutation of 0..n-1 that moves nothing out of its group; equal paths stay as they are.
    """
    order = np.arange(len(row))
    same = group[1:] == group[:-1]
    for part in _batches(np.flatnonzero(_beside(same)), group):
        order[part] = part[_by_path(paths, row[part], group[part])]
    return order


def _beside(same: np.ndarray) -> np.ndarray:
    """bool [n] from [n - 1]: which entries equal a neighbour."""
    none = np.zeros(1, bool)
    return np.concatenate([same, none]) | np.concatenate([none, same])


def _batches(position: np.ndarray, group: np.ndarray) -> Iterator[np.ndarray]:
    """`position` in parts of about _BATCH, cut between groups."""
    group = group[position]
    firsts = np.flatnonzero(group[1:] != group[:-1]) + 1
    cuts = np.searchsorted(firsts, np.arange(_BATCH, len(position), _BATCH))
    yield from np.split(position, np.unique(firsts[cuts[cuts < len(firsts)]]))


def _by_path(paths: Paths, row: np.ndarray, group: np.ndarray) -> np.ndarray:
    order, active, depth = np.arange(len(row)), np.arange(len(row)), 0
    while len(active):
        word = words(paths, row[order[active]], depth)
        same_group = group[1:] == group[:-1]
        if (same_group & (word[1:] < word[:-1])).any():
            by_word = np.lexsort((word, group))
            order[active], word = order[active][by_word], word[by_word]
        same = same_group & (word[1:] == word[:-1])
        group = np.concatenate([[0], np.cumsum(~same)])
        unsettled = _beside(same) & _goes_on(word)
        active, group, depth = active[unsettled], group[unsettled], depth + _STEP
    return order
