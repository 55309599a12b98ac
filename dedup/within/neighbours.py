"""Pairs of pool pictures that share details, by votes of local features, or meaning, by a network's embedding.

Only active pictures take part: of pictures confirmed to look alike as a whole, the best. The others would take one
another's votes, and fill the index.
"""
from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import faiss
import numpy as np

from .. import voting
from ..files import atomic_write
from ..network.embedding import all_cosines
from ..sift import Features
from ..threads import one_thread
from .pairs import write_pairs
from .work import Work

_PICTURES = 32              # searched at once
_CODES = 64                 # bytes of a compressed embedding
_COMPRESSED = "RR{},IVF{},PQ{}np"       # "np": no codes for comparison by bits, which take minutes to make
_EMBEDDINGS_PER_LIST = 256
_MOST_LISTS = 4096          # to make more takes longer than to search fewer
_TRAINING_PER_LIST = 64
_LEAST_TRAINING = 1 << 15
_PROBES = 64
_DEPTH = 2                  # times as many places by codes as are asked for: the exact cosines choose among them


def _active(work: Work) -> np.ndarray:
    """Pictures that no confirmed pair has put behind a better one yet, bool [N]."""
    return work.read("active", 0, "active")[0]


def block_parts(work: Work, block: int) -> range:
    """Parts of the pool that a block of the search by local features holds."""
    size = max(1, work.group_options.block // work.part_size)
    return range(block * size, min((block + 1) * size, work.parts))


def blocks(work: Work) -> int:
    """Blocks of the pool."""
    return -(-work.parts // max(1, work.group_options.block // work.part_size))


def index_block(work: Work, block: int) -> None:
    """Make the inverted index over the local features of one block of the pool."""
    with one_thread():
        columns = [_features(work, part) for part in block_parts(work, block)]
        rows, counts, sizes, angles, descriptors = (np.concatenate(c) for c in zip(*columns))
        del columns
        index = voting.build_descriptor_index(descriptors, work.options)
        voting.write_index(index, _search_file(work, "index", block))
        work.write("index", block, rows=rows, offsets=np.cumsum(np.r_[0, counts]), sizes=sizes, angles=angles)


def _search_file(work: Work, stage: str, part: int) -> Path:
    return work.file(stage, part).with_suffix(".faiss")


def _features(work: Work, part: int) -> tuple:
    """Active rows, their numbers of key points; sizes, angles and descriptors of these."""
    start = work.rows(part).start
    active = _active(work)[start:work.rows(part).stop]
    offsets, *columns = work.read("survey", part, "offsets", "sizes", "angles", "descriptors")
    counts = np.diff(offsets)
    keep = np.repeat(active, counts)
    return (start + np.flatnonzero(active), counts[active], *(column[keep] for column in columns))


@lru_cache(maxsize=1)
def _open_block(work: Work, block: int) -> tuple[faiss.Index, voting.Votes, np.ndarray]:
    rows, offsets, sizes, angles = work.read("index", block, "rows", "offsets", "sizes", "angles")
    return faiss.read_index(str(_search_file(work, "index", block))), voting.Votes(offsets, sizes, angles), rows


def sift_part(work: Work, number: int, block: int, part: int) -> None:
    """Pairs by votes between the pictures of one part and those of one block; strength is the score."""
    group = work.group_options          # a picture in its own block proposes itself, and its mirror image: two more
    options = replace(work.options, neighbours=group.neighbours, min_score=group.min_score,
                      candidates=group.candidates + 2)
    with one_thread():
        index, votes, indexed = _open_block(work, block)
        rows, counts, *columns = _features(work, part)
        cuts = np.cumsum(counts)[:-1]
        features = [Features(np.zeros((0, 2), np.float32), *c) for c in zip(*(np.split(c, cuts) for c in columns))]
        pairs = []
        for start in range(0, len(rows) if index.ntotal else 0, _PICTURES):
            batch = slice(start, start + _PICTURES)
            found = voting.nearest_of_each(index, [f.descriptors for f in features[batch]], options)
            for row, of_picture, hits in zip(rows[batch].tolist(), features[batch], found):
                pairs += _voted(row, votes.candidates(of_picture, *hits, options), indexed, work)
    write_pairs(work, "sift", number, pairs)


def _voted(row: int, candidates: list, indexed: np.ndarray, work: Work) -> list[tuple]:
    """(row, other, score) of the best other pictures."""
    scores: dict = {}
    for place, _, score in candidates:
        if indexed[place] != row:
            scores.setdefault(int(indexed[place]), score)
    return [(row, other, score) for other, score in list(scores.items())[:work.group_options.candidates]]


def index_embeddings(work: Work, number: int) -> None:
    """Make the search structure over the embeddings of all active pictures, and a file of these one after another.

    Few are searched exactly, many in lists of 64-byte codes. A code shortens cosines, by a sixth or so, hence it only
    says where to look: the file has the exact ones.

    Source: Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", PAMI 2011; the index is faiss's.
    """
    index, active = None, np.flatnonzero(_active(work))
    with one_thread(), atomic_write(_embeddings_file(work, number), "wb") as file:
        for part in range(work.parts):
            rows, vectors = _embeddings(work, part)
            if len(rows):
                index = index or _empty_index(work, active, vectors.shape[1])
                index.add(vectors.astype(np.float32))
                file.write(vectors.tobytes())
        if index is not None:
            voting.write_index(index, _search_file(work, "embeddings", number))
    work.write("embeddings", number, rows=active)


def _embeddings_file(work: Work, number: int) -> Path:
    return work.file("embeddings", number).with_suffix(".float16")


def _embeddings(work: Work, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Active rows, and their embeddings."""
    active = _active(work)[work.rows(part).start:work.rows(part).stop]
    return work.rows(part).start + np.flatnonzero(active), work.read("survey", part, "embedding")[0][active]


def _empty_index(work: Work, active: np.ndarray, dimensions: int) -> faiss.Index:
    if len(active) <= work.group_options.exact_below:
        return faiss.IndexFlatIP(dimensions)
    lists = 1 << int(np.log2(min(len(active) / _EMBEDDINGS_PER_LIST, _MOST_LISTS)))
    count = min(len(active), max(lists * _TRAINING_PER_LIST, _LEAST_TRAINING))
    chosen = active[np.linspace(0, len(active) - 1, count).astype(np.int64)]
    sample = np.concatenate([vectors[np.isin(rows, chosen)] for rows, vectors in (
        _embeddings(work, part) for part in range(work.parts)) if len(rows)])
    turned = dimensions + -dimensions % _CODES      # into a space that 64 codes can share
    index = faiss.index_factory(dimensions, _COMPRESSED.format(turned, lists, _CODES), faiss.METRIC_INNER_PRODUCT)
    index.train(sample.astype(np.float32))
    faiss.extract_index_ivf(index).nprobe = _PROBES
    return index


@lru_cache(maxsize=1)
def _open_embeddings(work: Work) -> tuple[faiss.Index, np.ndarray, np.ndarray]:
    """Search structure, embeddings and rows of all active pictures."""
    rows, = work.read("embeddings", 0, "rows")
    vectors = np.memmap(_embeddings_file(work, 0), np.float16, "r").reshape(len(rows), -1)
    return faiss.read_index(str(_search_file(work, "embeddings", 0))), vectors, rows


def feature_part(work: Work, part: int) -> None:
    """Pairs of near embeddings for the pictures of one part; strength is the cosine."""
    rows, vectors = _embeddings(work, part)
    pairs = []
    with one_thread():
        for start in range(0, len(rows), _PICTURES):
            batch = slice(start, start + _PICTURES)
            queries = vectors[batch].astype(np.float32)
            _, found = _open_embeddings(work)[0].search(queries, 1 + _DEPTH * work.group_options.near)
            for row, vector, places in zip(rows[batch].tolist(), queries, found):
                pairs += _nearest(row, vector, np.sort(places[places >= 0]), work)
    write_pairs(work, "feature", part, pairs)


def _nearest(row: int, vector: np.ndarray, places: np.ndarray, work: Work) -> list[tuple]:
    """(row, other, cosine) of the nearest other pictures among those at some places, nearest first."""
    _, embeddings, indexed = _open_embeddings(work)
    places = places[indexed[places] != row]
    cosines, = all_cosines(vector[None], embeddings[places].astype(np.float32))
    return [(row, int(indexed[places[i]]), cosine)
            for i, cosine in cosines.above(work.options.t_cand, work.group_options.near)]
