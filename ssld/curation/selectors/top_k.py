"""The k images per class that the teacher is surest of."""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...checks import fraction, one_of, positive_int
from ...data.manifest import Manifest
from ...errors import InputError
from .base import ONE, SELECTORS, Block, Selection, blocks
from .options import excluded_rows, k_per_class
from .per_class import BestPerClass, Candidates


@SELECTORS.register
def top_k(manifest: Manifest, k: int, min_score: float = 0.0, multi: str = "once", min_margin: float = 0.0,
          k_file: str | None = None, exclude: str | None = None) -> Selection:
    """For each class c the k images with the largest p_c among those that have c among their stored best classes.

    The result is exact and does not depend on the order of rows: scores are compared as stored (float16), ties go to
    the smaller path. With one stored class an image competes only in its arg-max class (SSLD); with several it may be
    chosen for more than one (Yalniz et al.).

    Args:
        manifest: with columns "teacher_class" and "score", best class first; class -1 marks rows that are no candidates.
        k: images per class, >= 1; a class with fewer gives all it has.
        min_score: least probability, in [0, 1].
        multi: an image that is chosen for several classes is listed "once", for the class of its highest score, or
            "repeat"ed for each.
        min_margin: least difference between the best and the second best probability of an image, in [0, 1].
        k_file: "class k" lines for classes that are to have another number than `k`.
        exclude: list of paths that are not to be chosen.

    Raises:
        InputError: k below 1, scores that are no probabilities, a margin without a second class, a faulty file.

    Source: Cui et al., arXiv:2103.05959, section 3; Yalniz et al., "Billion-scale semi-supervised learning for image
    classification", arXiv:1905.00546, section 3.2.
    """
    one_of("multi", multi, ("once", "repeat"))
    per_class = k_per_class(positive_int("k", k), k_file)
    best = BestPerClass(manifest.path, per_class, _least_bits(fraction("min_score", min_score)))
    for block in _eligible(manifest, fraction("min_margin", min_margin), exclude):
        best.add(block)
    return _by_row(best.result(), multi == "once")


def _least_bits(score: float) -> int:
    """Bits of the smallest float16 that is no less than `score`."""
    nearest = np.float16(score)
    return int(nearest.view(np.uint16)) + (float(nearest) < score)


def _eligible(manifest: Manifest, min_margin: float, exclude: str | None) -> Iterator[Block]:
    """The rows that the exclude list and the margin leave."""
    allowed = np.ones(len(manifest), bool)
    if exclude is not None:
        allowed[excluded_rows(manifest.path, exclude)] = False
    for block in blocks(manifest):
        keep = allowed[block.row]
        if min_margin:
            keep &= _margin(block) >= min_margin
        yield block if keep.all() else block.take(keep)


def _margin(block: Block) -> np.ndarray:
    if block.bits.shape[1] < 2:
        raise InputError("min_margin needs the two best classes of every image, but one is stored. Set Score.top to 2 or "
                         "more.")
    scores = block.bits[:, :2].view(np.float16).astype(np.float64)
    return scores[:, 0] - scores[:, 1]


def _by_row(chosen: Candidates, once: bool) -> Selection:
    """In the order of the manifest, the highest score of a row first, then the smaller class."""
    key = chosen.row << 32 | (int(ONE) - chosen.bits.astype(np.int64)) << 18 | chosen.label
    order = np.argsort(key)
    if once:
        order = order[np.flatnonzero(np.diff(chosen.row[order], prepend=-1))]
    row, label, bits, rank = (column[order] for column in chosen)
    return Selection(row, label, bits.view(np.float16), rank)
