"""Pairs of pool pictures that look alike as a whole: near hashes, and equal colours where there is nothing to hash.

No source compares all pairs one by one. Pictures whose bytes equal those of a better one take no part.
"""
from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

import faiss
import numpy as np

from .. import hashes
from ..threads import one_thread
from .survey import ranks_of
from .work import Work

_CHUNK_BITS = 16            # of a hash. Hashes up to 15 bits apart share one of their 16 chunks for certain, those farther
                            # apart nearly always: bits that differ crowd together in the high frequencies
_LEAST_CELL = 1.0           # grey levels: half the side of a cell of colours


def hash_part(work: Work, part: int) -> None:
    """Pairs (a, b) of rows whose hashes are near, for the pictures a of one part; strength is 256 - distance.

    Pictures of one and the same hash are a star around the best of them, which alone is compared with others. A hash
    of low quality proposes nothing: see `flat_part`.
    """
    with one_thread():
        index, first, centre = _hash_index(work)
        variants = work.read("survey", part, "hashes")[0]
        pairs = []
        for row, orientations in zip(work.rows(part), variants):
            if centre[row] == row:
                pairs += _within(index, first, orientations, row, work)
            elif centre[row] >= 0:
                pairs.append((row, int(centre[row]), 8 * hashes.BYTES))
        write_pairs(work, "hash", part, pairs)


@lru_cache(maxsize=1)
def _hash_index(work: Work) -> tuple[faiss.IndexBinary, np.ndarray, np.ndarray]:
    """Search structure over the distinct hashes; the best row of each; for every row the best of its hash, or -1."""
    own = np.concatenate([work.read("survey", part, "hashes")[0][:, 0].copy() for part in range(work.parts)])
    rank, quality = ranks_of(work), work.column("survey", "quality")
    rows = np.flatnonzero((rank >= 0) & (quality >= work.options.hash_quality))
    rows = rows[np.argsort(rank[rows])]
    _, first, inverse = np.unique(own[rows].view("V32").ravel(), return_index=True, return_inverse=True)
    centre = np.full(work.images, -1)
    centre[rows] = rows[first[inverse]]
    index = faiss.IndexBinaryMultiHash(8 * hashes.BYTES, 8 * hashes.BYTES // _CHUNK_BITS, _CHUNK_BITS)
    index.add(own[rows[first]])
    return index, rows[first], centre


def _within(index: faiss.IndexBinary, first: np.ndarray, variants: np.ndarray, row: int, work: Work) -> list[tuple]:
    """Pairs of one row and the nearest others in any orientation, by distance, then by row."""
    _, distances, found = index.range_search(np.unique(variants, axis=0), work.options.hash_radius + 1)
    order = np.lexsort((first[found], distances))
    nearest: dict = {}
    for other, distance in zip(first[found[order]].tolist(), distances[order].tolist()):
        nearest.setdefault(other, int(distance))
    nearest.pop(row)
    return [(row, other, 8 * hashes.BYTES - distance) for other, distance in nearest.items()][:work.group_options.near]


def flat_part(work: Work, part: int) -> None:
    """Pairs of pictures with next to no key points, of equal colour and near hash, whatever the quality of the hash.

    Colours are put into cells of twice the tolerance, in eight ways shifted by half a cell: two colours within the
    tolerance share a cell in at least one of them.
    """
    rank, colour = ranks_of(work), work.column("survey", "colour")
    rows = np.flatnonzero((rank >= 0) & ~np.isnan(colour[:, 0]))
    rows = rows[np.argsort(rank[rows])]
    variants = _variants(work, rows)
    pairs: dict = {}
    for shift in product((0.0, 0.5), repeat=3):
        cell = np.floor(colour[rows] / (2 * max(work.options.flat_colour, _LEAST_CELL)) + shift).astype(np.int64)
        _, cell = np.unique(cell, axis=0, return_inverse=True)
        order = np.argsort(cell, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(cell[order])) + 1):
            if len(places) > 1:
                pairs.update(_near_in_cell(rows[places], variants[places], work))
    write_pairs(work, "flat", part, [(a, b, strength) for (a, b), strength in sorted(pairs.items())])


def _variants(work: Work, rows: np.ndarray) -> np.ndarray:
    """The hashes of some pictures in all orientations, uint8 [n, 8, 32]."""
    every = np.zeros((len(rows), hashes.ORIENTATIONS, hashes.BYTES), np.uint8)
    for part in range(work.parts):
        inside = (rows >= work.rows(part).start) & (rows < work.rows(part).stop)
        if inside.any():
            every[inside] = work.read("survey", part, "hashes")[0][rows[inside] - work.rows(part).start]
    return every


def _near_in_cell(rows: np.ndarray, variants: np.ndarray, work: Work) -> Iterator[tuple]:
    """((a, b), strength) of pictures of one colour: stars around the best of a hash, and near hashes; best rows first."""
    own, first, inverse = np.unique(variants[:, 0], axis=0, return_index=True, return_inverse=True)
    for place in np.flatnonzero(first[inverse] != np.arange(len(rows))):
        yield (int(rows[place]), int(rows[first[inverse[place]]])), 8 * hashes.BYTES
    if len(first) > 1:
        table = hashes.HashTable(own)
        for place in first:
            for variant in np.unique(variants[place], axis=0):
                found, distances = table.within(variant, work.options.flat_hash_radius)
                for other, distance in zip(rows[first[found]].tolist(), distances.tolist()):
                    if other != rows[place]:
                        yield (int(rows[place]), other), 8 * hashes.BYTES - distance


def write_pairs(work: Work, stage: str, part: int, pairs: list) -> None:
    """Write pairs (a, b, strength) as the columns a, b int64 [n] and strength float64 [n] of a part."""
    a, b, strength = zip(*pairs) if pairs else ((), (), ())
    work.write(stage, part, a=np.array(a, np.int64), b=np.array(b, np.int64), strength=np.array(strength, np.float64))
