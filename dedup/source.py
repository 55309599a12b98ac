"""Where pictures come from: a list file, a folder, a tar file, or paths in memory."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Optional, Union

from . import tars
from .errors import InputError
from .files import sha256_file
from .lists import read_list
from .paths import Paths

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jp2", ".jpe", ".jpeg", ".jpg", ".jfif", ".pbm", ".pgm", ".png", ".ppm",
                            ".tif", ".tiff", ".webp"})
_UNLISTABLE = b"\t\r\n"


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
        """A source of paths in memory; `lines` are the paths themselves unless given.

        Raises:
            InputError: a path that no line of a list can hold.
        """
        paths = Paths.of(paths)
        _require_listable(paths, name)
        lines = paths if lines is None else Paths.of(lines)
        first = paths.first_occurrences()
        return cls(name, os.fspath(root), paths.take(first), lines.take(first), int((~first).sum()),
                   sha256 or paths.sha256())


def _require_listable(paths: Paths, name: str) -> None:
    wrong = paths.holding(_UNLISTABLE) | ~paths.is_utf8()
    if wrong.any():
        raise InputError(f"{name}: the name {paths[int(wrong.argmax())]!r} holds a tab, a line end or bytes that are not "
                         "UTF-8, which a list cannot hold. Rename the file.")


def open_source(source: Union[str, os.PathLike, Source], root=None, delimiter: str = " ") -> Source:
    """The pictures of a list file, of a folder with the tar files in it, or of one tar file.

    A folder is searched recursively, but not through symbolic links to folders, and its pictures come in sorted order.
    A damaged tar file counts as one more picture, which cannot be read, so that the damage is reported with the others.

    Args:
        source: list file, plain or .gz; folder; uncompressed tar file; or a Source, which is returned as it is.
        root: folder of the paths; by default that of the list or of the tar file, or the folder itself.
        delimiter: between path and label in a list.

    Raises:
        InputError: nothing there, no picture in it, or a folder or tar file that cannot be read.
    """
    if isinstance(source, Source):
        return source
    place = Path(source)
    if place.is_dir():
        return _of_files(_folder_pictures(os.path.join(place, "")), place, place, root)
    if tars.is_tar_name(place.name):
        return _of_files(_tar_pictures(os.path.join(place.parent, place.name)), place, place.parent, root)
    listed = read_list(place, delimiter)
    return Source.of(listed.paths, place.parent if root is None else root, listed.text, os.fspath(source),
                     sha256_file(place))


def _of_files(files: Iterable[str], place: Path, folder: Path, root) -> Source:
    """A source of files that lie below `folder`, as paths relative to `root`."""
    outer = os.path.join(folder, "")
    inner = os.curdir if root is None else os.path.relpath(folder, root)
    prefix = "" if inner == os.curdir else os.path.join(inner, "")
    names = sorted(prefix + file[len(outer):] for file in files)
    if not names:
        raise InputError(f"{place} holds no image file. Known suffixes: {', '.join(sorted(IMAGE_SUFFIXES))}; and .tar")
    return Source.of(names, folder if root is None else root, name=os.fspath(place))


def _folder_pictures(folder: str) -> Iterator[str]:
    """All pictures below a folder, those inside of tar files too."""
    for place, _, files in os.walk(folder, onerror=_unreadable):
        for name in files:
            file = os.path.join(place, name)
            if _is_picture(name):
                yield file
            elif tars.is_tar_name(name):
                yield from _tar_pictures(file)


def _tar_pictures(tar: str) -> Iterator[str]:
    """All pictures in a tar file, and the file itself if it is damaged."""
    try:
        index = tars.read_index(tar)
    except OSError as error:
        _unreadable(OSError(error.errno, error.strerror, tar))
    if index.damage:
        yield tar
    yield from (f"{tar}/{name}" for name in index.members if _is_picture(name))


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _unreadable(error: OSError) -> None:
    raise InputError(f"{error.filename} cannot be read: {error.strerror}. Its pictures would be missing without notice: check "
                     "its name and permissions, or move it elsewhere.") from error
