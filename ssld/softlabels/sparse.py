"""Labels of which a few classes stand out and all others are alike."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np


class SparseLabels(NamedTuple):
    """n distributions: label_c = rest + the sum of the excesses whose id is c.

    Attributes:
        ids: int64 [n, K], classes; one may be repeated.
        excess: float32 [n, K], what they have above the rest.
        rest: float32 [n], probability of each class that has no excess.
    """

    ids: np.ndarray
    excess: np.ndarray
    rest: np.ndarray

    def dense(self, class_num: int) -> np.ndarray:
        """The distributions, float32 [n, class_num]."""
        dense = np.repeat(self.rest[:, None], class_num, axis=1)
        rows = np.arange(len(dense))
        for ids, excess in zip(self.ids.T, self.excess.T):      # one class of each row at a time, so that repeated ids add up
            dense[rows, ids] += excess
        return dense
