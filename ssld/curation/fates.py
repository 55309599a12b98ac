"""What became of each row of the pool, and why: every row has exactly one fate."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from dedup.files import atomic_write
from dedup.lists import Paths

FATES = ("not selected", "selected", "duplicate", "pool-duplicate", "removed by hand", "labelled", "unreadable", "repeated")


class Fates:
    """One byte per row, and a sentence for the few rows that need one.

    Attributes:
        code: int8 [N], positions in FATES; every row begins as "not selected".
        detail: row -> why.
    """

    def __init__(self, rows: int):
        self.code = np.zeros(rows, np.int8)
        self.detail: dict[int, str] = {}

    def set(self, rows, fate: str, details=()) -> None:
        """Give `rows` (int array or mask) a fate, and each the detail of the same place, if any."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        self.code[rows] = FATES.index(fate)
        self.detail.update(zip(rows.tolist(), details))

    def having(self, fate: str) -> np.ndarray:
        """Mask of the rows with a fate."""
        return self.code == FATES.index(fate)

    def counts(self) -> dict[str, int]:
        """Rows of each fate; they add up to the number of rows."""
        return dict(zip(FATES, np.bincount(self.code, minlength=len(FATES)).tolist()))

    def write(self, file: Path, paths: Paths) -> None:
        """path, fate, detail of every path, in the order of the pool; repetitions of a path are left out."""
        with atomic_write(file) as out:
            out.write("path\tfate\tdetail\n")
            for row in np.flatnonzero(~self.having("repeated")).tolist():
                out.write(f"{paths[row]}\t{FATES[self.code[row]]}\t{self.detail.get(row, '')}\n")
