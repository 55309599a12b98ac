"""The pictures to look at: files and folders as the user names them, read as the evaluation reads them."""
from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from paddle.io import Dataset

from dedup.images import ImageError
from dedup.source import open_source

from ..data.dataset import READABLE, Visit
from ..data.transforms import Compose
from ..errors import InputError


def find_pictures(places: Sequence[str]) -> list[str]:
    """The files that are meant, each once: those that are named, and the pictures below folders in sorted order.

    Raises:
        InputError: nothing there, or a folder that cannot be read or holds no picture.
    """
    found: dict[str, None] = {}
    for place in places:
        if os.path.isdir(place):
            found.update((os.path.join(place, path), None) for path in open_source(place).paths)
        elif os.path.exists(place):
            found[place] = None
        else:
            raise InputError(f"there is no image or folder '{place}'.")
    return list(found)


class Pictures(Dataset):
    """Files as samples "image" float32 [3, H, W], "index" and "unreadable" int64; an unreadable one is black.

    "unreadable" is as in `ssld.data.dataset`, but no other picture stands in for one that cannot be read.

    Args:
        files: where they are.
        transform: file -> array, as in evaluation.
        size: [3, H, W] that the network takes.
    """

    def __init__(self, files: Sequence[str], transform: Compose, size: Sequence[int]):
        super().__init__()
        self.files, self.transform, self.size = list(files), transform, tuple(size)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, visit: Visit) -> dict[str, np.ndarray]:
        row, unreadable = visit.row, READABLE
        try:
            image = self.transform(self.files[row], np.random.default_rng((0, 0, row)))
        except (ImageError, OSError):
            image, unreadable = np.zeros(self.size, np.float32), row
        if image.shape != self.size:
            raise InputError(f"{self.files[row]}: the card's preprocess gives {list(image.shape)}, but the network takes "
                             f"{list(self.size)}. Export again with an evaluation that crops or resizes to a fixed size.")
        return {"image": image, "index": np.int64(row), "unreadable": np.int64(unreadable)}
