"""As many images as asked, drawn without looking: the baseline that a selector has to beat."""
from __future__ import annotations

import numpy as np

from dedup.lists import Paths

from ...checks import positive_int
from ...data.manifest import Manifest
from .base import SELECTORS, Selection, best_class_selection, candidates
from .path_keys import order_ties, path_hash


@SELECTORS.register
def random(manifest: Manifest, count: int, seed: int = 0) -> Selection:
    """`count` images drawn uniformly, labelled with the teacher's best class.

    The draw depends on the seed and on the set of paths, not on their order.

    Args:
        manifest: with columns "teacher_class" and "score"; class -1 marks rows that are no candidates.
        count: images, >= 1; all of them when there are fewer.
        seed: of the draw.
    """
    row = candidates(manifest)
    return best_class_selection(manifest, np.sort(draw(manifest.path, row, positive_int("count", count), seed)))


def draw(paths: Paths, row: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` of the rows `row`, those whose paths have the smallest hash values, in the order of these."""
    code = path_hash(paths, row, seed)
    if count < len(row):
        inside = np.flatnonzero(code <= np.partition(code, count - 1)[count - 1])
        row, code = row[inside], code[inside]
    order = np.argsort(code)
    row, code = row[order], code[order]
    return row[order_ties(paths, row, code)][:count]
