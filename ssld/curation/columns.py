"""Scores of a whole pool as columns in pool order: memory-mapped files, filled from the parts of all shards."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup.files import sync_folder, write_json

from ..arrays import read_arrays
from ..device import is_main, main_first
from ..errors import InputError

ABSENT = -1                     # class of a row that is no candidate
_MADE_OF = "columns.json"


class Scores(NamedTuple):
    """What is known of each row of a pool.

    Attributes:
        columns: "teacher_class" int16 or int32 [N, P], best first, -1 for rows that were not wanted or not readable; "score"
            float16 [N, P]; "feature" float16 [N, D] if the teacher gives any. All memory-mapped.
        unreadable: int64, the wanted rows that could not be read.
    """

    columns: dict[str, np.ndarray]
    unreadable: np.ndarray


def read_part(part: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard's result: "row", "unreadable", "teacher_class", "score" and "feature".

    Raises:
        InputError: damaged; says that it may be removed.
    """
    try:
        return read_arrays(part)
    except InputError as error:
        raise InputError(f"{error} Remove it; the next run scores it again.") from error


def collect(folder: Path, parts: Sequence[Path], wanted: np.ndarray, top: int) -> Scores:
    """The columns of all parts, written to `folder` as .npy files unless they are there already.

    Args:
        folder: of the columns.
        parts: the shards' results.
        wanted: bool [N], rows of the pool; others are absent even where a part knows them.
        top: classes per row.
    """
    parts = [part for part in parts if part.exists()]
    with main_first():
        if is_main():
            _fill(folder, parts, wanted, top)
    made_of = json.loads((folder / _MADE_OF).read_text())
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in made_of["columns"]}
    return Scores(columns, np.array(made_of["unreadable"], np.int64))


def _fill(folder: Path, parts: Sequence[Path], wanted: np.ndarray, top: int) -> None:
    stamps = [(part.name, part.stat().st_size, part.stat().st_mtime_ns) for part in parts]
    made_of = {"wanted": hashlib.sha256(np.packbits(wanted).tobytes()).hexdigest(), "parts": [list(s) for s in stamps]}
    record = folder / _MADE_OF
    if record.exists() and all(json.loads(record.read_text()).get(key) == value for key, value in made_of.items()):
        return
    record.unlink(missing_ok=True)
    columns, unreadable = _kinds(parts, top), []
    arrays = {name: _allocate(folder / f"{name}.npy.tmp", kind, (len(wanted), number))
              for name, (kind, number) in columns.items()}
    arrays["teacher_class"][:] = ABSENT
    for part in parts:
        known = read_part(part)
        is_wanted = wanted[known["row"]]
        for name, array in arrays.items():
            array[known["row"][is_wanted]] = known[name][is_wanted]
        unreadable += known["unreadable"][wanted[known["unreadable"]]].tolist()
    for name, array in arrays.items():
        array.flush()
        os.replace(folder / f"{name}.npy.tmp", folder / f"{name}.npy")
    sync_folder(folder)
    write_json(record, {**made_of, "columns": list(columns), "unreadable": sorted(unreadable)})


def _kinds(parts: Sequence[Path], top: int) -> dict[str, tuple[np.dtype, int]]:
    """Type and width of every column; a part without a readable image says nothing about features."""
    columns = {"teacher_class": (np.dtype(np.int16), top), "score": (np.dtype(np.float16), top)}
    for part in parts:
        known = read_part(part)
        if len(known["row"]):
            columns["teacher_class"] = known["teacher_class"].dtype, top
            if known["feature"].shape[1]:
                columns["feature"] = known["feature"].dtype, known["feature"].shape[1]
            break
    return columns


def _allocate(file: Path, kind: np.dtype, shape: tuple[int, int]) -> np.memmap:
    """A writable array on disk whose blocks exist: writing to a mapping of a full disk would kill the process."""
    try:
        array = np.lib.format.open_memmap(file, "w+", kind, shape)
        with open(file, "r+b") as handle:
            os.posix_fallocate(handle.fileno(), 0, file.stat().st_size)
    except OSError as error:
        size = shape[0] * shape[1] * np.dtype(kind).itemsize
        raise InputError(f"{file} could not be made: {error.strerror or error}. It needs {size:,} bytes for {shape[0]:,} rows; "
                         "free some space, what is scored is kept.") from error
    return array
