"""A folder with a subfolder for each class, as a Manifest."""
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dedup.source import open_source

from ..errors import InputError, located
from ..registry import nearest
from .manifest import Manifest


def read_class_folders(root: str | Path, names: Sequence[str] | None = None) -> tuple[Manifest, list[str]]:
    """The pictures below each subfolder of `root`, which is called after their class; in sorted order.

    Files beside the subfolders belong to no class and are passed over, as are subfolders whose name begins with a dot.

    Args:
        root: the folder.
        names: of the classes in the order of their numbers, such as those of another folder; default: the sorted names of the
            subfolders. A class of `names` without a subfolder has no picture.

    Returns:
        The list, and the names of the classes.

    Raises:
        InputError: the folder cannot be read or has no subfolder; a subfolder without a picture, or one that is not in `names`.
    """
    found = _subfolders(Path(root))
    if not found:
        raise InputError(f"{root} holds no subfolder. Expected one for each class, such as {Path(root) / 'cat'}; or give a "
                         "list of 'path label' lines as cls_label_path.")
    names = found if names is None else list(names)
    for name in found:
        if name not in names:
            raise InputError(f"{Path(root) / name}: '{name}' is none of the {len(names)} classes. {nearest(name, names)}")
    paths, labels = [], []
    for name in found:
        with located(f"class '{name}'"):
            inside = open_source(Path(root) / name, root).paths
        paths += list(inside)
        labels += [names.index(name)] * len(inside)
    return Manifest(Path(root), paths, np.array(labels), source=Path(root)), names


def _subfolders(root: Path) -> list[str]:
    try:
        with os.scandir(root) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror}. Expected a folder with a subfolder for each "
                         "class.") from error
