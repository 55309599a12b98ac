"""Manifest: the image list, with columns, that flows through everything."""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from dedup.digests import sha256_of
from dedup.files import atomic_write, sha256_file, write_json
from dedup.images import read_bytes, size_in_bytes
from dedup.lists import UNLABELLED, Paths, read_list

from ..arrays import read_arrays, write_arrays
from ..errors import InputError
from .presence import plain, present

_LIST = "list_sha256"           # entry of a columns file: the list it was made for
_SHOWN = 10                     # how many bad lines an error lists
_BYTES_COMPARED = 100_000       # longest training list whose files are compared with the evaluation files


@dataclass(frozen=True, eq=False)
class Manifest:
    """An image list with columns; every operation returns a new one.

    On disk: `path label` lines as PaddleClas reads them; beside `train.txt` stand `train.columns.npz` (plain arrays,
    nothing pickled) and `train.origin.json`, when there are columns or an origin to keep.

    Attributes:
        root: folder that the paths are relative to.
        path: [N] strings.
        label: int64 [N], -1 = unlabelled.
        columns: name -> array [N], such as "score" or "teacher_class".
        line: int64 [N], line of each row in `source`, from 1.
        source: the list file that the rows came from, for error messages.
        origin: what made this list: command, parameters, hashes of its inputs.
    """

    root: Path
    path: Paths
    label: np.ndarray
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    line: np.ndarray | None = None
    source: Path | None = None
    origin: Mapping = field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "path", Paths.of(self.path))
        object.__setattr__(self, "label", np.asarray(self.label, np.int64))
        lengths = {"label": len(self.label), **{name: len(column) for name, column in self.columns.items()}}
        wrong = {name: length for name, length in lengths.items() if length != len(self.path)}
        if wrong:
            raise InputError(f"{self.source or 'manifest'}: {len(self.path)} paths, but columns of other lengths: {wrong}.")

    @classmethod
    def read(cls, file: str | Path, root: str | Path | None = None, delimiter: str = " ") -> Manifest:
        """Read a list file, and the columns and origin beside it.

        Args:
            file: "path label" or "path" lines; `.gz` too.
            root: folder of the paths; the list's own folder by default.
            delimiter: between path and label.

        Raises:
            InputError: unreadable, empty, or columns that do not fit the list.
        """
        file = Path(file)
        listed = read_list(file, delimiter)
        columns_file, origin_file = _beside(file)
        columns, origin = {}, {}
        if columns_file.exists():
            columns = _read_columns(columns_file, file)
        if origin_file.exists():
            try:
                origin = json.loads(origin_file.read_text())
            except (OSError, ValueError) as error:
                raise InputError(f"{origin_file} cannot be read: {error} Remove it to use the list without it.") from error
        return cls(file.parent if root is None else Path(root), listed.paths, listed.labels, columns, listed.lines, file,
                   origin)

    def write(self, file: str | Path) -> None:
        """Write the list, its columns and its origin; each file appears whole or not at all."""
        file = Path(file)
        if file.suffix == ".gz":
            raise InputError(f"{file}: lists are read from .gz but written as plain text. Choose a name without .gz.")
        columns_file, origin_file = _beside(file)
        for stale in (columns_file, origin_file):
            stale.unlink(missing_ok=True)
        with atomic_write(file) as out:
            out.writelines(f"{path} {label}\n" for path, label in zip(self.path, self.label.tolist()))
        if self.columns:
            write_arrays(columns_file, {**self.columns, _LIST: np.array(sha256_file(file))})
        if self.origin:
            write_json(origin_file, dict(self.origin))

    def take(self, rows) -> Manifest:
        """The rows at the given positions (int array) or where a mask is true, in that order."""
        return replace(self, path=self.path.take(rows), label=self.label[rows],
                       columns={name: column[rows] for name, column in self.columns.items()},
                       line=None if self.line is None else self.line[rows])

    def with_columns(self, **arrays: np.ndarray) -> Manifest:
        """The same rows with further (or replaced) columns."""
        return replace(self, columns={**self.columns, **arrays})

    def shards(self, count: int) -> Iterator[Manifest]:
        """`count` consecutive parts whose sizes differ by at most one row."""
        for rows in np.array_split(np.arange(len(self)), count):
            yield self.take(rows)

    def file(self, row: int) -> Path:
        """Where the image of a row lies."""
        return self.root / self.path[row]

    def place(self, row: int) -> str:
        """How error messages name a row: "train.txt:17 (dogs/3.jpg)"."""
        if self.source is None or self.line is None:
            return self.path[row]
        return f"{self.source}:{self.line[row]} ({self.path[row]})"

    @property
    def unlabelled(self) -> int:
        """How many rows have no label."""
        return int((self.label == UNLABELLED).sum())

    def __len__(self) -> int:
        return len(self.path)


def describe_rows(manifest: Manifest, rows: Sequence[int]) -> str:
    """The first ten of some rows, one per line, for an error message."""
    shown = "".join(f"\n  {manifest.place(row)}" for row in rows[:_SHOWN])
    return shown + (f"\n  ... and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")


def check_labels(manifest: Manifest, class_num: int, network: str) -> None:
    """Refuse labels that `network` has no class for.

    Raises:
        InputError: naming the highest label, its line and the class count.
    """
    if len(manifest) and manifest.label.max() >= class_num:
        row = int(manifest.label.argmax())
        raise InputError(f"{manifest.place(row)}: label {manifest.label[row]} is out of range, {network} has {class_num} "
                         f"classes (0 to {class_num - 1}). Correct the list, or set class_num.")


def refuse_overlap(train: Manifest, evaluation: Manifest) -> None:
    """Refuse evaluation images that are trained on: the same path, or the same bytes in another file.

    Bytes are compared where sizes agree, and only in training lists of at most 100,000 images: to read millions of
    files is the work of `ssld expand`.

    Raises:
        InputError: with the first pairs.
    """
    shared = same_paths(train, evaluation)
    if not shared and len(train) <= _BYTES_COMPARED:
        shared = same_bytes(train, evaluation)
    if shared:
        pairs = "".join(f"\n  {train.place(a)} is {evaluation.place(b)}" for a, b in list(shared.items())[:_SHOWN])
        raise InputError(f"{len(shared)} images of the training list are in the evaluation list too, so the accuracy would "
                         f"mean nothing:{pairs}\nRemove them; `ssld expand` finds edited copies as well.")


def same_paths(train: Manifest, evaluation: Manifest) -> dict[int, int]:
    """Row in `train` -> row in `evaluation`, where both name one file."""
    known = {_absolute(evaluation, row): row for row in range(len(evaluation))}
    below = os.path.join(_absolute(train), "")
    as_listed = Paths.of(name[len(below):] for name in known if name.startswith(below))
    suspects = np.flatnonzero(train.path.isin(as_listed) | ~plain(train.path)).tolist()
    found = {row: known.get(_absolute(train, row)) for row in suspects}
    return {row: match for row, match in found.items() if match is not None}


def same_bytes(train: Manifest, evaluation: Manifest) -> dict[int, int]:
    """Row in `train` -> row in `evaluation`, where the files are equal byte by byte."""
    train_sizes, evaluation_sizes = _sizes(train), _sizes(evaluation)
    common = np.intersect1d(train_sizes[train_sizes > 0], evaluation_sizes)
    digests = {_digest(evaluation, row): row for row in np.flatnonzero(np.isin(evaluation_sizes, common))}
    found = {int(row): digests.get(_digest(train, row)) for row in np.flatnonzero(np.isin(train_sizes, common))}
    return {row: match for row, match in found.items() if match is not None}


def missing_files(manifest: Manifest) -> np.ndarray:
    """Rows whose image file does not exist: int array."""
    return np.flatnonzero(~present(manifest.root, manifest.path))


def _absolute(manifest: Manifest, row: int | None = None) -> str:
    """The root, or the file of a row, in the one spelling that pathlib leaves of it."""
    root = Path(os.path.abspath(manifest.root))
    return str(root if row is None else root / manifest.path[row])


def _digest(manifest: Manifest, row: int) -> bytes:
    return sha256_of(read_bytes(manifest.file(row)))


def _sizes(manifest: Manifest) -> np.ndarray:
    """Bytes of every image file, -1 where there is none; int64 [N]."""
    return np.fromiter((size_in_bytes(manifest.file(row)) for row in range(len(manifest))), np.int64, len(manifest))


def _read_columns(columns_file: Path, file: Path) -> dict[str, np.ndarray]:
    """The columns that belong to the list `file`, which must not have changed since."""
    try:
        columns = read_arrays(columns_file)
    except InputError as error:
        raise InputError(f"{error} Remove it to use {file.name} without its columns.") from error
    if str(columns.pop(_LIST, "")) != sha256_file(file):
        raise InputError(f"{file} was edited after the columns in {columns_file.name} were made for it. Remove that file to "
                         "use the list without its columns, or make the list again.")
    return columns


def _beside(file: Path) -> tuple[Path, Path]:
    """The columns file and the origin file of a list."""
    stem = file.name[:-3] if file.suffix == ".gz" else file.name
    stem = stem[:-4] if stem.endswith(".txt") else stem
    return file.with_name(f"{stem}.columns.npz"), file.with_name(f"{stem}.origin.json")
