"""Which files of a list are there: folders are listed once, instead of asking for millions of files one by one."""
from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from dedup import tars
from dedup.images import size_in_bytes
from dedup.paths import Paths, byte_places

_FEW = 32                       # of one folder: asked for one by one, since the folder may hold millions


def present(root: Path, paths: Paths) -> np.ndarray:
    """Which paths below `root` name a file, or a member of a tar file; bool [N]."""
    found = np.zeros(len(paths), bool)
    for folder, rows, names in _by_folder(paths):
        found[rows] = _present_in(os.path.join(root, folder), names)
    return found


def plain(paths: Paths) -> np.ndarray:
    """Which paths are relative and written as pathlib writes them, without "//", "./" or "/" at the end; bool [N]."""
    slashes = byte_places(paths.blob, b"/")
    after = paths.blob[np.minimum(slashes + 1, len(paths.blob) - 1)]
    suspects = slashes[(after == ord("/")) | (after == ord("."))]
    filled = paths.stop > paths.start
    ends = np.zeros((2, len(paths)), np.uint8)
    ends[:, filled] = paths.blob[paths.start[filled]], paths.blob[paths.stop[filled] - 1]
    holds_suspect = np.searchsorted(suspects, paths.start) < np.searchsorted(suspects, paths.stop)
    return filled & ~holds_suspect & ~np.isin(ends[0], list(b"/.")) & (ends[1] != ord("/"))


def _by_folder(paths: Paths) -> Iterator[tuple[str, np.ndarray, list[str]]]:
    """(folder, rows, names within it) of each folder that the paths name."""
    slashes = byte_places(paths.blob, b"/")
    last = np.searchsorted(slashes, paths.stop) - 1
    cut = slashes[np.maximum(last, 0)] + 1 if len(slashes) else paths.start
    cut = np.where((last >= 0) & (cut > paths.start), cut, paths.start)        # behind the last slash, if there is one
    folders, names = Paths(paths.blob, paths.start, cut), Paths(paths.blob, cut, paths.stop)
    first = folders.first_rows()
    order = np.argsort(first, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(first[order])) + 1) if len(order) else []:
        yield folders[int(rows[0])], rows, [names[row] for row in rows.tolist()]


def _present_in(folder: str, names: list[str]) -> list[bool]:
    if len(names) < _FEW:
        return [_is_there(folder, name) for name in names]
    try:
        known = _known_in(folder)
    except OSError:             # not there, or it may be entered but not listed
        return [_is_there(folder, name) for name in names]
    return [known(name) or _is_there(folder, name) for name in names]


def _known_in(folder: str) -> Callable[[str], bool]:
    """Whether a name is surely there: an entry of a folder, or a member of a tar file."""
    tar, member = tars.split(os.path.join(folder, "member")) or ("", "")
    if tar:
        members, inside = tars.read_index(tar).members, member[:-len("member")]
        return lambda name: not isinstance(members.get(inside + name, ""), str)        # a string says what is wrong
    with os.scandir(folder) as entries:         # a symbolic link may lead nowhere
        return {entry.name for entry in entries if not entry.is_symlink() and not tars.is_tar_name(entry.name)}.__contains__


def _is_there(folder: str, name: str) -> bool:
    return size_in_bytes(Path(folder, name)) >= 0
