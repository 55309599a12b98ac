"""The files that a selection may be steered with: how many of each class, and which images not."""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from dedup.lists import Paths, read_list

from ...errors import InputError
from .path_keys import path_hash, same_paths
from .per_class import MAX_CLASSES

_BLOCK = 1 << 20


def k_per_class(k: int, file: str | None = None) -> np.ndarray:
    """Images per class: `k`, or what `file` says in "class k" lines; blank lines are passed over.

    Returns:
        int64 [MAX_CLASSES].

    Raises:
        InputError: the file cannot be read, or a line of it is not two whole numbers, repeats a class or has k below 1.
    """
    per_class = np.full(MAX_CLASSES, k, np.int64)
    if file is None:
        return per_class
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"k_file {file} cannot be read: {error}. Expected a text file of 'class k' lines.") from error
    seen: dict[int, int] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            label, value = _class_and_k(f"{file}:{number}", line)
            if label in seen:
                raise InputError(f"{file}:{number}: class {label} was given in line {seen[label]} already.")
            seen[label] = number
            per_class[label] = value
    return per_class


def _class_and_k(place: str, line: str) -> tuple[int, int]:
    words = line.split()
    if len(words) != 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise InputError(f"{place}: {line!r} is not 'class k', two whole numbers such as '17 4000'.")
    label, k = map(int, words)
    if label >= MAX_CLASSES or k < 1:
        raise InputError(f"{place}: {line!r}: the class must lie below {MAX_CLASSES} and k must be at least 1. To leave a "
                         "class out, list its images in `exclude`.")
    return label, k


def excluded_rows(paths: Paths, file: str) -> np.ndarray:
    """Rows of `paths` that the list `file` names: int64, ascending.

    Paths of the file that are not there are counted in a warning: an exclude list may serve several pools.

    Raises:
        InputError: the list cannot be read, or names no path that is there, as with another image root.
    """
    excluded = read_list(file).paths
    codes = path_hash(excluded, np.arange(len(excluded)), seed=0)
    codes, place = np.unique(codes, return_index=True)
    hits = [_hits(paths, np.arange(first, min(first + _BLOCK, len(paths))), codes) for first in range(0, len(paths), _BLOCK)]
    row, code = (np.concatenate(parts) for parts in zip(*hits))
    same = same_paths(paths, row, excluded, place[code])
    missing = len(codes) - len(np.unique(code[same]))
    if missing == len(codes):
        raise InputError(f"exclude {file}: none of its {len(codes)} paths, such as {excluded[0]!r}, is in the pool, where a "
                         f"path looks like {paths[0]!r}. Write them relative to the image root of the pool.")
    if missing:
        print(f"warning: {missing} of the {len(codes)} paths of {file} are not in the pool", file=sys.stderr)
    return row[same]


def _hits(paths: Paths, row: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of `row` have one of the hash values `codes`, and which one."""
    own = path_hash(paths, row, seed=0)
    place = np.minimum(np.searchsorted(codes, own), len(codes) - 1)
    hit = codes[place] == own
    return row[hit], place[hit]
