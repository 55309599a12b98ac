"""Which file of a tree in the original soft label format belongs to which image of a list."""
from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import numpy as np

from ..data.manifest import Manifest, describe_rows
from ..errors import InputError

_SUFFIX = ".tar"


class OriginalTree:
    """Label files for the images of a list, matched by the folder that an image lies in (its class) and its name.

    Such trees begin at different depths (class/name.tar, train/class/name.tar, imagenet/train/class/name.tar), so folders
    further up are not compared. Only the last extension of an image's name is left out: names may have dots.

    Args:
        source: top folder of the label files.
        images: the list.

    Attributes:
        missing: int64, rows of the list that have no file.

    Raises:
        InputError: no label files, two for one image, or one for two images.
    """

    def __init__(self, source: str | Path, images: Manifest):
        self.source, self.images = Path(source), images
        self._folders, found = _files_below(self.source)
        rows: dict[str, int] = {}
        self._folder_of = np.full(len(images), -1, np.int64)
        for row, path in enumerate(images.path):
            key = _key(path)
            folder = found.get(key, -1)
            if folder >= 0 and rows.setdefault(key, row) != row:
                raise InputError(f"{self._folders[folder]}/{PurePosixPath(key).name}{_SUFFIX} could belong to "
                                 f"{images.place(rows[key])} and to {images.place(row)}: labels are matched by folder and name "
                                 "without extension. Rename one of the two images, or take one off the list.")
            self._folder_of[row] = folder
        self.missing = np.flatnonzero(self._folder_of < 0)

    def file(self, row: int) -> Path | None:
        """The label file of an image, None if it has none."""
        folder = self._folder_of[row]
        return None if folder < 0 else Path(self._folders[folder], PurePosixPath(self.images.path[row]).stem + _SUFFIX)

    def check_missing(self, max_fraction: float) -> None:
        """Refuse a tree that lacks the labels of more than a share of the list.

        Raises:
            InputError: with the first of them.
        """
        if len(self.missing) > max_fraction * len(self.images):
            raise InputError(f"{self.describe_missing()}\nMore than --max-missing-fraction {max_fraction} allows. Check "
                             "SOURCE_DIR and the list (labels are matched by class folder and name), or raise it.")

    def describe_missing(self) -> str:
        """How many images have no labels, and the first ten of them."""
        return (f"{len(self.missing):,} of {len(self.images):,} images have no label file below {self.source}:"
                f"{describe_rows(self.images, self.missing)}")


def _key(path: str) -> str:
    """The folder that a file lies in, and its name without extension."""
    file = PurePosixPath(path)
    return f"{file.parent.name}/{file.stem}"


def _files_below(source: Path) -> tuple[list[str], dict[str, int]]:
    """All folders, and key -> number of the folder that has the file; a table of full names would be twice as large."""
    folders, found = [], {}
    for folder, _, names in os.walk(source):
        inner = "" if folder == str(source) else os.path.basename(folder)
        for name in names:
            if name.endswith(_SUFFIX):
                key = f"{inner}/{name[:-len(_SUFFIX)]}"
                other = found.setdefault(key, len(folders))
                if other != len(folders):
                    raise InputError(f"{folders[other]} and {folder} both have {name}, in folders of the same name. Give the "
                                     "one that belongs to the list as SOURCE_DIR.")
        folders.append(folder)
    if not found:
        raise InputError(f"there are no label files (*{_SUFFIX}) below {source}. Expected a tree such as "
                         f"{source}/train/n01440764/n01440764_10026{_SUFFIX}, one file for each image.")
    return folders, found
