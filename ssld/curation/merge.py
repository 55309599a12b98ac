"""The labelled list and the selected images as one training list."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dedup.lists import Paths

from ..data.manifest import Manifest
from ..errors import InputError

LABELLED, SELECTED = 0, 1       # values of the column "source"


def merge(labelled: Manifest, selected: Manifest, image_root: str | Path | None = None) -> Manifest:
    """Labelled rows first and unchanged, then the selected ones; a path in both is kept as labelled.

    Args:
        labelled, selected: lists, perhaps with different roots.
        image_root: root of the merged list; by default the common root, or the nearest folder above both.

    Returns:
        A list with the column "source": 0 labelled, 1 selected.

    Raises:
        InputError: a path lies outside `image_root`.
    """
    if image_root is None:
        image_root = labelled.root if labelled.root == selected.root else _common(labelled.root, selected.root)
    parts = [_rebased(labelled, Path(image_root)), _rebased(selected, Path(image_root))]
    new = ~parts[1].isin(parts[0])
    paths = Paths.concatenate([parts[0], parts[1].take(new)])
    source = np.repeat(np.array([LABELLED, SELECTED], np.int8), [len(labelled), int(new.sum())])
    return Manifest(Path(image_root), paths, np.concatenate([labelled.label, selected.label[new]]), {"source": source})


def _common(first: Path, second: Path) -> str:
    return os.path.relpath(os.path.commonpath([first.resolve(), second.resolve()]))


def _rebased(manifest: Manifest, root: Path) -> Paths:
    """The paths of a list relative to another root."""
    if manifest.root == root:
        return manifest.path
    prefix = os.path.relpath(manifest.root.resolve(), root.resolve())
    if prefix.startswith(".."):
        raise InputError(f"the images of {manifest.source} lie under {manifest.root}, outside image_root {root}. Choose an "
                         "image_root above all lists.")
    return manifest.path if prefix == "." else Paths.of(f"{prefix}/{path}" for path in manifest.path)
