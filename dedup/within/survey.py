"""The first look at every picture of a pool: checksum, size, hash, a few local features, an embedding; and its rank."""
from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional

import numpy as np

from .. import hashes
from ..digests import sha256_of
from ..images import ImageError, read_bytes
from ..network.embedding import Embed, embed_all
from ..picture import Picture, describe
from ..sift import Features
from ..threads import one_thread
from .work import Work


def survey_part(work: Work, part: int, embed: Optional[Embed]) -> None:
    """Look at the pictures of one part, and write one row for each; unreadable ones get zeros.

    Columns: readable bool [n]; sha256 uint8 [n, 32]; pixels, bytes, quality int64 [n]; hashes uint8 [n, 8, 32]; colour
    float64 [n, 3], nan for pictures with enough key points; offsets int64 [n + 1] into sizes, angles and descriptors;
    embedding float16 [n, D], unit rows: half the space, and cosines to four decimals.
    """
    options = replace(work.options, keypoints=work.group_options.keypoints)
    with one_thread():
        rows = [_look(work.picture_file(row), options) for row in work.rows(part)]
        columns = {name: np.stack([row[name] for row in rows]) for name in rows[0] if name != "features"}
        readable = columns["readable"]
        if "feature" in work.group_options.sources:
            files = [work.picture_file(row) for row, is_readable in zip(work.rows(part), readable) if is_readable]
            columns["embedding"] = _spread(embed_all(embed, files), readable)
    features = [row["features"] if "sift" in work.group_options.sources else Features.none() for row in rows]
    work.write("survey", part, offsets=np.cumsum([0] + [len(f.sizes) for f in features]), **columns,
               **{name: np.concatenate([getattr(f, name) for f in features])
                  for name in ("sizes", "angles", "descriptors")})


def _look(file: str, options) -> dict:
    try:
        data = read_bytes(file)
        return _columns(sha256_of(data), len(data), describe(data, options))
    except ImageError:
        return {"readable": np.array(False), "sha256": np.zeros(32, np.uint8), "pixels": np.array(0),
                "bytes": np.array(0), "quality": np.array(0), "colour": np.full(3, np.nan),
                "hashes": np.zeros((hashes.ORIENTATIONS, hashes.BYTES), np.uint8), "features": Features.none()}


def _columns(digest: bytes, size: int, picture: Picture) -> dict:
    return {"readable": np.array(True), "sha256": np.frombuffer(digest, np.uint8),
            "pixels": np.array(picture.shape[0] * picture.shape[1]), "bytes": np.array(size),
            "quality": np.array(picture.quality),
            "colour": np.full(3, np.nan) if picture.colour is None else picture.colour,
            "hashes": hashes.dihedral_hashes(picture.coefficients), "features": picture.view.features}


def _spread(rows: np.ndarray, readable: np.ndarray) -> np.ndarray:
    """`rows` at the readable places, zeros at the others."""
    every = np.zeros((len(readable), rows.shape[1]), np.float16)
    every[readable] = rows
    return every


class Ranks(NamedTuple):
    """Who stays rather than whom.

    Args:
        rank: int64 [N], 0 for the picture that stays rather than any other; -1 for pictures that need no comparison:
            unreadable ones, and copies of the bytes of a better one.
        original: int64 [N], the row of the best picture of the same bytes; -1 for unreadable pictures.
    """

    rank: np.ndarray
    original: np.ndarray


def rank_pictures(work: Work, preferred: np.ndarray) -> Ranks:
    """Order the pool: preferred pictures first, then most pixels, then most bytes, then by path.

    Args:
        work: the plan; all its survey parts are done.
        preferred: bool [N].
    """
    readable, digests, pixels, size = (work.column("survey", name) for name in ("readable", "sha256", "pixels", "bytes"))
    order = np.lexsort((np.arange(work.images), -size, -pixels, ~preferred))
    rank = np.empty(work.images, np.int64)
    rank[order] = np.arange(work.images)
    _, first, inverse = np.unique(np.ascontiguousarray(digests[order]).view("V32").ravel(), return_index=True,
                                  return_inverse=True)
    original = np.empty(work.images, np.int64)
    original[order] = order[first[inverse]]
    original[~readable] = -1
    rank[original != np.arange(work.images)] = -1
    work.write("rank", rank=rank)
    return Ranks(rank, original)


def ranks_of(work: Work) -> np.ndarray:
    """The column `Ranks.rank`, as `rank_pictures` wrote it."""
    return work.read("rank", 0, "rank")[0]
