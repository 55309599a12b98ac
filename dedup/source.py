"""Where pictures come from: a list file, a folder, or paths in memory."""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Optional, Union

import numpy as np

from .errors import InputError
from .files import sha256_file
from .lists import Paths, read_list

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jfif", ".pbm", ".pgm", ".png", ".ppm",
                            ".tif", ".tiff", ".webp"})


class Source(NamedTuple):
    """Pictures to look at, each path once.

    Args:
        name: what the user called it.
        root: folder of the paths.
        paths: [N], relative to `root`, without repetitions.
        lines: [N], the line of the list each path comes from.
        repeated: number of lines left out because their path had come before.
        sha256: of the list, 64 hexadecimal digits.
    """

    name: str
    root: str
    paths: Paths
    lines: Paths
    repeated: int
    sha256: str

    @classmethod
    def of(cls, paths: Iterable[str], root, lines: Optional[Iterable[str]] = None, name: str = "paths",
           sha256: Optional[str] = None) -> Source:
        """A source of paths in memory; `lines` are the paths themselves unless given."""
        paths = Paths.of(paths)
        if (paths.blob == ord("\t")).any() and (tabbed := next((p for p in paths if "\t" in p), None)):
            raise InputError(f"{name}: the path {tabbed!r} holds a tab, which a table cannot hold. Rename the file.")
        lines = paths if lines is None else Paths.of(lines)
        seen: set = set()
        first = np.array([not (p in seen or seen.add(p)) for p in paths], bool)
        return cls(name, os.fspath(root), paths.take(first), lines.take(first), int((~first).sum()),
                   sha256 or paths.sha256())


def open_source(source: Union[str, os.PathLike, Source], root=None, delimiter: str = " ") -> Source:
    """The pictures of a list file or a folder (searched recursively, in sorted order).

    Args:
        source: list file, plain or .gz; folder; or a Source, which is returned as it is.
        root: folder of the paths; the list's own folder, or the folder itself, by default.
        delimiter: between path and label in a list.

    Raises:
        InputError: nothing there, or no picture in it.
    """
    if isinstance(source, Source):
        return source
    place = Path(source)
    if place.is_dir():
        return _open_folder(place, place if root is None else Path(root))
    listed = read_list(place, delimiter)
    return Source.of(listed.paths, place.parent if root is None else root, listed.text, os.fspath(source),
                     sha256_file(place))


def _open_folder(folder: Path, root: Path) -> Source:
    found = sorted(p.relative_to(root).as_posix() if root in (folder, *folder.parents) else os.path.relpath(p, root)
                   for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not found:
        raise InputError(f"{folder} holds no image file. Known suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}")
    for name in found:
        if any(c in name for c in "\t\r\n") or not name.isprintable():
            raise InputError(f"{folder}: the file name {name!r} holds a tab, a line end or bytes that are not UTF-8, "
                             "which a list cannot hold. Rename the file.")
    return Source.of(found, root, name=os.fspath(folder))
