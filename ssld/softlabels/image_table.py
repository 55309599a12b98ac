"""The images of a store: paths, sizes, labels, and which could be read."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup.lists import Paths

from ..arrays import read_arrays, write_arrays
from ..errors import InputError


class ImageTable(NamedTuple):
    """One row for each image, in the order of the records.

    Attributes:
        path: N paths, relative, with extension, as the list has them.
        width, height: int64 [N], pixels of the decoded image; 0 if it could not be read.
        label: int64 [N], -1 = unlabelled.
        readable: bool [N]; the records of others hold nothing.
    """

    path: Paths
    width: np.ndarray
    height: np.ndarray
    label: np.ndarray
    readable: np.ndarray

    def write(self, file: Path) -> None:
        """Write it, atomically."""
        write_arrays(file, {"text": np.frombuffer(b"".join(self.path.text()), np.uint8),
                            "width": self.width.astype(np.uint16), "height": self.height.astype(np.uint16),
                            "label": self.label.astype(np.int32), "readable": self.readable.astype(bool)})

    @classmethod
    def read(cls, file: Path) -> ImageTable:
        """Read what `write` wrote.

        Raises:
            InputError: missing or altered.
        """
        columns = read_arrays(file)
        if set(columns) != {"text", "width", "height", "label", "readable"}:
            raise InputError(f"{file} is no table of images: it holds {', '.join(columns)}.")
        text = columns["text"]
        stop = np.flatnonzero(text == ord("\n"))
        path = Paths(text, np.concatenate([np.zeros(1, np.int64), stop + 1])[:-1], stop)
        return cls(path, *(columns[name].astype(np.int64) for name in ("width", "height", "label")), columns["readable"])

    def rows_of(self, paths: Paths) -> np.ndarray:
        """Row of each path, -1 where there is none; int64 [n]."""
        first = Paths.concatenate([self.path, paths]).first_rows()[len(self.path):]
        return np.where(first < len(self.path), first, -1)
