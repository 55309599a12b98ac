"""What is kept of the reference pictures: columns that grow on disk and are memory-mapped later."""
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Optional, Union

import numpy as np

from . import hashes
from .digests import sha256_of
from .errors import InputError
from .files import atomic_write
from .images import ImageError, read_bytes
from .match import Failure
from .network.embedding import CHUNK, Embed, embed_all
from .options import Options
from .picture import THUMBNAIL, Picture, View, describe, mean_colour
from .sift import Features
from .threads import one_thread

_HEADER = 128           # bytes; multiples of 64 keep the values aligned


class References:
    """Pictures as memory-mapped columns.

    Args:
        folder: of one .npy file per column: sha256 uint8 [N, 32]; hashes uint8 [N, 8, 32]; quality int64 [N];
            colour float64 [N, 3]; shape, working_shape, thumbnail_shape int64 [N, 2] (height, width);
            thumbnail uint8 [N, 160, 160], filled from the upper left; offsets int64 [N + 1] into points, sizes, angles
            and descriptors; embedding float32 [N, D], unit rows, D = 0 without a network.
    """

    NAMES = ("sha256", "hashes", "quality", "colour", "shape", "working_shape", "thumbnail_shape", "thumbnail",
             "offsets", *Features._fields, "embedding")

    def __init__(self, folder):
        self.columns = {name: np.load(column_file(folder, name), mmap_mode="r", allow_pickle=False)
                        for name in self.NAMES}

    def __len__(self) -> int:
        return len(self["sha256"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def save(self, folder) -> None:
        """Write a copy of every column to `folder`."""
        for name in self.NAMES:
            with atomic_write(column_file(folder, name), "wb") as file:
                column = _Column(file)
                column.append(self[name])
                column.finish()

    def view(self, row: int, mirrored: bool) -> View:
        """What the geometric check needs of one picture."""
        span = slice(*self["offsets"][row:row + 2])
        height, width = self["thumbnail_shape"][row]
        features = Features(*(self[name][span] for name in Features._fields))
        view = View(features, tuple(self["working_shape"][row].tolist()), self["thumbnail"][row, :height, :width])
        return view.mirrored() if mirrored else view


def write_references(folder: Path, names: list[str], options: Options, root, embed: Optional[Embed],
                     map: Callable) -> tuple[list[str], list[Failure]]:
    """Read pictures and write the columns of `References`; returns the names of the readable ones, and the others.

    Args:
        folder: of the columns.
        names: files, relative to `root`.
        options: how pictures are described.
        root: folder of the files.
        embed: a network, or None.
        map: how the pictures are read.

    Raises:
        InputError: none is readable, or a file cannot be written.
    """
    readable, errors = [], []
    with _reference_writer(folder) as writer:
        for name, entry in zip(names, map(partial(_describe, os.fspath(root), options), names)):
            if isinstance(entry, Failure):
                errors.append(entry)
            else:
                readable.append(name)
                writer.add(*entry)
        if not readable:
            raise InputError(f"none of the {len(names)} evaluation images can be read"
                             + (f"; the first is {errors[0].path}: {errors[0].message}" if errors else "")
                             + f". Are the paths relative to {os.fspath(root) or os.getcwd()}?")
        for start in range(0, len(readable), CHUNK):
            writer.add_embedding(embed_all(embed, [os.path.join(root, n) for n in readable[start:start + CHUNK]]))
    return readable, errors


def column_file(folder, name: str) -> Path:
    """Where a column is kept."""
    return Path(folder) / f"{name}.npy"


def _describe(root: str, options: Options, name: str) -> Union[tuple, Failure]:
    """(SHA-256, Picture, mean colour) of one reference, or why not."""
    try:
        with one_thread():
            data = read_bytes(os.path.join(root, name))
            return sha256_of(data), describe(data, options), mean_colour(data)
    except ImageError as error:
        return failure(name, "reference", error)


def failure(name: str, stage: str, error: ImageError) -> Failure:
    """An unreadable picture as an entry of a table."""
    return Failure(name, stage, type(error.__cause__ or error).__name__, " ".join(str(error).split()))


@contextlib.contextmanager
def _reference_writer(folder) -> Iterator[_Writer]:
    """Write the columns of `References` to a folder; they appear there when all of them are complete.

    Raises:
        InputError: a file cannot be written.
    """
    with contextlib.ExitStack() as stack:
        columns = {name: _Column(stack.enter_context(atomic_write(column_file(folder, name), "wb")))
                   for name in References.NAMES}
        yield _Writer(columns)
        for column in columns.values():
            column.finish()


class _Writer:
    """Takes pictures one by one; only what the system has not yet written is in memory."""

    def __init__(self, columns: dict[str, _Column]):
        self.columns = columns
        self.features = 0
        columns["offsets"].append(np.zeros(1, np.int64))

    def add(self, digest: bytes, picture: Picture, colour: np.ndarray) -> None:
        """Append one picture: SHA-256 of its file, what is known of it, its mean colour float64 [3]."""
        view = picture.view
        self.features += len(view.features.sizes)
        height, width = view.thumbnail.shape
        cell = {"sha256": np.frombuffer(digest, np.uint8), "hashes": hashes.dihedral_hashes(picture.coefficients),
                "quality": np.int64(picture.quality), "colour": colour, "shape": np.array(picture.shape),
                "working_shape": np.array(view.shape), "thumbnail_shape": np.array(view.thumbnail.shape),
                "thumbnail": np.pad(view.thumbnail, ((0, THUMBNAIL - height), (0, THUMBNAIL - width))),
                "offsets": np.int64(self.features)}
        for name, value in cell.items():
            self.columns[name].append(value[None])
        for name, rows in view.features._asdict().items():
            self.columns[name].append(rows)

    def add_embedding(self, rows: np.ndarray) -> None:
        """Append the embeddings float32 [n, D] of the next n pictures."""
        column = self.columns["embedding"]
        if column.rows and rows.shape[1:] != column.kind.shape[1:]:
            raise InputError(f"embed returned {rows.shape[1]} numbers per file, for other files {column.kind.shape[1]}.")
        column.append(rows)


class _Column:
    """An .npy file that grows; its header, which tells the length, is written last."""

    def __init__(self, file: BinaryIO):
        self.file, self.rows = file, 0
        self.kind: Optional[np.ndarray] = None
        file.write(bytes(_HEADER))

    def append(self, rows: np.ndarray) -> None:
        """Write rows, all of one type and shape."""
        self.kind = rows[:0]
        self.rows += len(rows)
        self.file.write(np.ascontiguousarray(rows).tobytes())

    def finish(self) -> None:
        """Write the header of the .npy format, version 1.0, padded with spaces."""
        shape = (self.rows, *self.kind.shape[1:])
        text = repr({"descr": self.kind.dtype.str, "fortran_order": False, "shape": shape})
        start = np.lib.format.magic(1, 0)
        length = _HEADER - len(start) - 2
        self.file.seek(0)
        self.file.write(start + length.to_bytes(2, "little") + text.ljust(length - 1).encode("ascii") + b"\n")
