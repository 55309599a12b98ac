"""The k images per class that the teacher is surest of."""
from __future__ import annotations

import numpy as np

from ...checks import fraction, one_of
from ...data.manifest import Manifest
from ...errors import InputError
from .base import SELECTORS, Selection, ranked, scores_of


@SELECTORS.register
def top_k(manifest: Manifest, k: int, min_score: float = 0.0, multi: str = "once") -> Selection:
    """For each class c the k images with the largest p_c among those that have c among their stored best classes.

    The result is exact and does not depend on the order of rows: scores are compared as stored (float16), ties go to
    the smaller path. With one stored class an image competes only in its arg-max class (SSLD); with several it may be
    chosen for more than one (Yalniz et al.).

    Args:
        manifest: with columns "teacher_class" and "score".
        k: images per class, >= 1; a class with fewer gives all it has.
        min_score: least probability, in [0, 1].
        multi: an image that is chosen for several classes is listed "once", for the class of its highest score, or
            "repeat"ed for each.

    Raises:
        InputError: k below 1, scores that are no probabilities.

    Source: Cui et al., arXiv:2103.05959, section 3; Yalniz et al., "Billion-scale semi-supervised learning for image
    classification", arXiv:1905.00546, section 3.2.
    """
    if not isinstance(k, int) or k < 1:
        raise InputError(f"k must be a whole number of at least 1, not {k!r}.")
    one_of("multi", multi, ("once", "repeat"))
    classes, scores = scores_of(manifest)
    eligible = scores >= fraction("min_score", min_score)
    row = np.nonzero(eligible)[0]
    label, score = classes[eligible].astype(np.int64), scores[eligible]
    order, rank = ranked(manifest, row, label, score)
    order, rank = order[rank < k], rank[rank < k]
    row, label, score = row[order], label[order], score[order]
    # by row, the highest score first, so that the first entry of a row is its best class
    by_row = np.lexsort((label, -score.astype(np.float32), row))
    if multi == "once" and len(by_row):
        by_row = by_row[np.concatenate([[True], row[by_row][1:] != row[by_row][:-1]])]
    return Selection(row[by_row], label[by_row], score[by_row], rank[by_row])
