"""Connected components of pairs of rows."""
from __future__ import annotations

import numpy as np


class Components:
    """Disjoint sets of rows, joined one pair at a time."""

    def __init__(self):
        self.parent, self.size = {}, {}

    def find(self, row: int) -> int:
        """The row that stands for the set of `row`."""
        parent = self.parent
        while (above := parent.setdefault(row, row)) != row:
            parent[row] = parent[above]
            row = above
        return row

    def join(self, a: int, b: int, limit: float = np.inf) -> None:
        """Make one set of two, unless it had more than `limit` rows."""
        a, b = sorted((self.find(a), self.find(b)))
        size = self.size.get(a, 1) + self.size.get(b, 1)
        if a != b and size <= limit:
            self.parent[b], self.size[a] = a, size


def components(links: np.ndarray, limit: float = np.inf) -> dict:
    """Row -> number of its connected component, for every row in the pairs int64 [n, 2]."""
    sets = Components()
    for a, b in links.tolist():
        sets.join(a, b, limit)
    return {row: sets.find(row) for row in np.unique(links).tolist()}


def split_by_component(links: np.ndarray) -> list[np.ndarray]:
    """Pairs int64 [n, 2], split into those of each connected component."""
    component = components(links)
    label = np.array([component[a] for a in links[:, 0].tolist()], np.int64)
    return [links[label == one] for one in np.unique(label)]
