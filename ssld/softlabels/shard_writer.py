"""One file of records, written image by image, which a killed process goes on with."""
from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from dedup.files import sha256_file, sync_folder

from ..errors import InputError
from ..train.row_files import Shard, read_json

PROGRESS = "progress"           # folder of the notes
_LISTS = ("width", "height", "readable")


class ShardWriter(Shard):
    """Consecutive images of a store, written to `<name>.partial`, which is renamed when it is whole and then noted with its
    checksum. Rows are noted when they are on disk, every 20 seconds.

    Args:
        folder: of the store.
        number: of the shard.
        first, stop: its images, first .. stop - 1.
        dtype: of a record.
        crops: records per image.

    Attributes:
        done: images that are on disk; `append` goes on behind them.
        lists: "width", "height" and "readable" of the images so far.
    """

    def __init__(self, folder: Path, number: int, first: int, stop: int, dtype: np.dtype, crops: int):
        super().__init__(folder / PROGRESS / f"{shard_name(number)}.json", first, stop, _LISTS)
        self.target = folder / f"{shard_name(number)}.bin"
        self.partial = self.target.with_name(f"{self.target.name}.partial")
        self.dtype, self.crops, self.bytes_per_image = dtype, crops, crops * dtype.itemsize
        if not self._is_there():
            self.done, self.lists = 0, {name: [] for name in _LISTS}

    @property
    def bytes(self) -> int:
        """Size of the file when it is whole."""
        return (self.stop - self.first) * self.bytes_per_image

    def entry(self) -> dict | None:
        """What a store's table of shards says of it; None if it is not whole."""
        sha256 = (read_json(self.file) or {}).get("sha256")
        if sha256 is None or self.partial.exists() or _size(self.target) != self.bytes:
            return None
        return {"file": self.target.name, "images": self.stop - self.first, "bytes": self.bytes, "sha256": sha256}

    def append(self, records: np.ndarray, width: np.ndarray, height: np.ndarray, readable: np.ndarray) -> None:
        """The next images.

        Args:
            records: [n, crops] of the codec; zeros where an image could not be read.
            width, height: int [n], pixels; 0 where it could not be read.
            readable: bool [n].

        Raises:
            InputError: the file cannot be written; what is noted is kept.
        """
        if records.shape != (len(width), self.crops) or records.dtype != self.dtype:
            raise ValueError(f"expected {self.dtype} of the shape {(len(width), self.crops)}, not {records.dtype} of "
                             f"{records.shape}")
        try:
            with open(self.partial, "r+b" if self.partial.exists() else "xb") as file:
                file.seek(self.done * self.bytes_per_image)
                file.write(np.ascontiguousarray(records).view(np.uint8))
                self.add(len(width), width=width, height=height, readable=readable)
                due = self.is_due
                file.flush()
                if due:
                    os.fsync(file.fileno())
        except OSError as error:
            raise self._not_written(error) from error
        if due:
            self.note()

    def close(self) -> None:
        """Give the file its name, and enter it with its checksum.

        Raises:
            InputError: the file cannot be renamed or read.
        """
        if self.first + self.done != self.stop:
            raise ValueError(f"{self.target} has {self.done} of {self.stop - self.first} images")
        try:
            if self.partial.exists():           # otherwise the process was killed right after the renaming
                os.replace(self.partial, self.target)
                sync_folder(self.target.parent)
            sha256 = sha256_file(self.target)
        except OSError as error:
            raise self._not_written(error) from error
        self.note(sha256=sha256)

    def _is_there(self) -> bool:
        """Whether the images that are noted as done are on disk."""
        if self.partial.exists():
            return _size(self.partial) >= self.done * self.bytes_per_image
        return self.first + self.done == self.stop and _size(self.target) == self.bytes

    def _not_written(self, error: OSError) -> InputError:
        return InputError(f"{self.target} could not be written: {error.strerror or error}. It takes {self.bytes:,} bytes; free "
                          "some space and start the same command again, what is on disk is kept.")


def shard_name(number: int) -> str:
    """Name of a shard without extension."""
    return f"shard-{number:05d}"


def _size(file: Path) -> int:
    """Bytes of a file, -1 if there is none."""
    return file.stat().st_size if file.is_file() else -1
