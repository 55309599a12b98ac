"""As many images as asked, drawn without looking: the baseline that a selector has to beat."""
from __future__ import annotations

import numpy as np

from ...checks import positive_int
from ...data.manifest import Manifest
from .base import SELECTORS, Selection, ranked, scores_of


@SELECTORS.register
def random(manifest: Manifest, count: int, seed: int = 0) -> Selection:
    """`count` images drawn uniformly, labelled with the teacher's best class.

    The draw depends on the seed and on the set of paths, not on their order.

    Args:
        manifest: with columns "teacher_class" and "score".
        count: images, >= 1; all of them when there are fewer.
        seed: of the draw.
    """
    classes, scores = scores_of(manifest)
    by_path = np.array(sorted(range(len(manifest)), key=manifest.path.bytes), np.int64)
    drawn = np.random.default_rng(seed).permutation(len(manifest))[:positive_int("count", count)]
    row = np.sort(by_path[drawn])
    label, score = classes[row, 0].astype(np.int64), scores[row, 0]
    order, rank = ranked(manifest, row, label, score)
    place = np.empty(len(row), np.int64)
    place[order] = rank
    return Selection(row, label, score, place)
