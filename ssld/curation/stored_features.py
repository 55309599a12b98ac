"""Features that were computed while scoring, found again by file: an `embed` function of dedup without a network."""
from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from dedup.files import atomic_write, write_json
from dedup.lists import Paths
from dedup.network.embedding import Embed

from ..errors import InputError

_INDEX = "features.json"
_COLUMNS = ("hash", "row", "blob", "start", "stop")     # sorted hashes of the paths, their rows; and all paths


class StoredFeatures:
    """Looks features up by file. Nothing is held in memory: the features and an index of their paths are mapped.

    The index takes 32 bytes and the path's text per picture. Processes share the mapped files, and what is sent to
    them is the name of a folder.

    Args:
        folder: where `write` put the index.
        otherwise: asked for files that have no stored features, such as a TeacherEmbedding for the evaluation images.

    Raises:
        InputError: no index there.
    """

    def __init__(self, folder: str | Path, otherwise: Embed | None = None):
        self.folder, self.otherwise = os.fspath(folder), otherwise
        try:
            index = json.loads((Path(folder) / _INDEX).read_text(encoding="utf-8"))
            self.root, self.file = index["root"], Path(folder) / index["file"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{folder} holds no index of features ({type(error).__name__}: {error}). Score the images "
                             "again.") from error

    @classmethod
    def write(cls, folder: str | Path, root: str | Path, paths: Paths, file: str | Path,
              known: np.ndarray | None = None) -> StoredFeatures:
        """Index features, which stay where they are.

        Args:
            folder: for the index.
            root: folder of the paths, spelt as dedup will spell it.
            paths: [N], relative to `root`.
            file: .npy file, float [N, D]; row i belongs to path i.
            known: bool [N], which rows hold features; all of them by default. The others have none.

        Raises:
            InputError: the file cannot be read or has another number of rows.
        """
        folder, shape = Path(folder), _mapped(file).shape
        if len(shape) != 2 or shape[0] != len(paths):
            raise InputError(f"{file} has the shape {shape}; {len(paths)} paths need as many rows.")
        rows = np.arange(len(paths)) if known is None else np.flatnonzero(known)
        hashes = np.fromiter((_hash(paths.bytes(row)) for row in rows), np.uint64, len(rows))
        order = np.argsort(hashes, kind="stable")
        for name, column in zip(_COLUMNS, (hashes[order], rows[order], paths.blob, paths.start, paths.stop)):
            with atomic_write(folder / f"{name}.npy", "wb") as out:
                np.save(out, column, allow_pickle=False)
        write_json(folder / _INDEX, {"root": os.fspath(root), "file": os.path.relpath(file, folder)})
        return cls(folder)

    def __call__(self, files: Sequence[str]) -> np.ndarray:
        """Files, as dedup joins root and path -> float32 [n, D].

        Raises:
            InputError: a file that has no stored features, and nobody else to ask.
        """
        rows = np.array(self._rows(files), np.int64)
        found = np.zeros((len(files), self._features.shape[1]), np.float32)
        found[rows >= 0] = self._features[rows[rows >= 0]]
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            found[unknown] = self._ask([files[place] for place in unknown], found.shape[1])
        return found

    def _ask(self, files: Sequence[str], width: int) -> np.ndarray:
        if self.otherwise is None:
            raise InputError(f"{len(files)} files have no features in {self.folder}, beginning with {files[0]}. They were "
                             f"stored for pictures below {self.root}; score the list again.")
        rows = np.asarray(self.otherwise(files))
        if rows.shape != (len(files), width):
            raise InputError(f"{self.file} holds features of width {width}, but the network gives {rows.shape} for "
                             f"{len(files)} files: it is not the one that scored. Score again with this one.")
        return rows

    def _rows(self, files: Sequence[str]) -> list[int]:
        """Row of each file, -1 if there is none."""
        start = os.path.join(self.root, "")
        names = [(file[len(start):] if file.startswith(start) else file).encode("utf-8", "surrogateescape") for file in files]
        hashes = self._columns["hash"]
        wanted = np.array([_hash(name) for name in names], np.uint64)
        return [self._row(name, int(place), value) for name, place, value
                in zip(names, np.searchsorted(hashes, wanted), wanted)]

    def _row(self, name: bytes, place: int, value: np.uint64) -> int:
        """The row of one path among those whose hash is `value`, which begin at `place`."""
        hashes, paths = self._columns["hash"], self._paths
        while place < len(hashes) and hashes[place] == value:
            row = int(self._columns["row"][place])
            if paths.bytes(row) == name:
                return row
            place += 1
        return -1

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        return {name: _mapped(Path(self.folder) / f"{name}.npy") for name in _COLUMNS}

    @cached_property
    def _paths(self) -> Paths:
        return Paths(*(self._columns[name] for name in ("blob", "start", "stop")))

    @cached_property
    def _features(self) -> np.ndarray:
        return _mapped(self.file)

    def __reduce__(self):
        return StoredFeatures, (self.folder, self.otherwise)


def _hash(path: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(path, digest_size=8).digest(), "little")


def _mapped(file: str | Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{file} cannot be read: {error}. Remove it; the next run computes it again.") from error
