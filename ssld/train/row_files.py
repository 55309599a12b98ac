"""Arrays on disk that are filled row by row, by several processes, and go on after a kill."""
from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from dedup.files import write_json

from ..errors import InputError

PLAN = "plan.json"
_SHARD = 16_384                 # rows that one process fills in one go
_NOTED_EVERY_S = 20.0           # what a killed process loses at most


class PartialRows:
    """A folder with `<name>.npy` for each array, what they are made of (`plan.json`), and a note for each shard of rows.

    Rows are written in place, and noted as done only when they are on disk. They are written, not mapped: writing to a
    mapping of a full disk would kill the process, and processes on several machines would overwrite each other's pages.

    Args:
        folder: is made by `begin`.
        count: rows.
        widths: name -> length of a row.
    """

    def __init__(self, folder: str | Path, count: int, widths: Mapping[str, int]):
        self.folder, self.count, self.widths = Path(folder), count, dict(widths)
        self.files = [f"{name}.npy" for name in widths]
        self.bytes = 4 * count * sum(widths.values())

    def is_begun(self, made_of: Mapping[str, str]) -> bool:
        """Whether there is something to go on with that is made of the same things."""
        return read_json(self.folder / PLAN) == made_of and all((self.folder / name).exists() for name in self.files)

    def begin(self, made_of: Mapping[str, str]) -> None:
        """Empty arrays of the final size, whose blocks are taken as they are filled.

        Raises:
            InputError: not enough space.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        free = shutil.disk_usage(self.folder).free
        if free < self.bytes:
            raise InputError(f"{self.folder} needs {self.bytes:,} bytes for {self.count:,} images, but only {free:,} are free "
                             "there. Free some space, choose another Global.output_dir, or set Global.cache_features: false.")
        for name, width in self.widths.items():
            np.lib.format.open_memmap(self.folder / f"{name}.npy", "w+", np.float32, (self.count, width))
        write_json(self.folder / PLAN, dict(made_of))

    def shards(self) -> list[Shard]:
        """All parts that can be filled independently, and how far each has come."""
        return [Shard(self.folder / f"part-{first:09d}.json", first, min(first + _SHARD, self.count), ["unreadable"])
                for first in range(0, self.count, _SHARD)]

    def write(self, shard: Shard, values: Mapping[str, np.ndarray], unreadable: np.ndarray) -> None:
        """The next rows of a shard.

        Args:
            shard: of this process.
            values: name -> float32 [n, width].
            unreadable: int64, those of the rows that hold nothing.

        Raises:
            InputError: the disk is full after all.
        """
        try:
            with ExitStack() as stack:
                files = {name: stack.enter_context(open(self.folder / f"{name}.npy", "r+b")) for name in values}
                for name, file in files.items():
                    np.lib.format.read_magic(file)
                    np.lib.format.read_array_header_1_0(file)
                    file.seek(4 * self.widths[name] * (shard.first + shard.done), os.SEEK_CUR)
                    file.write(np.ascontiguousarray(values[name], np.float32).tobytes())
                shard.add(len(next(iter(values.values()))), unreadable=unreadable)
                due = shard.is_due
                for file in files.values() if due else ():
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise InputError(f"{self.folder} could not be written: {error.strerror or error}. It takes {self.bytes:,} bytes in "
                             "all; free some space, what is computed is kept.") from error
        if due:
            shard.note()

    def unreadable(self) -> np.ndarray:
        """The unreadable rows of all shards, int64, sorted."""
        return np.sort(np.concatenate([np.array(shard.lists["unreadable"], np.int64) for shard in self.shards()]))


class Shard:
    """Consecutive rows that one process fills, and how far it has come.

    Args:
        file: of the notes, JSON.
        first, stop: its rows, first .. stop - 1.
        kept: names of lists that are noted too.

    Attributes:
        done: how many of its rows are written.
        lists: name -> what the rows written so far have added to each of the lists.
    """

    def __init__(self, file: Path, first: int, stop: int, kept: Sequence[str]):
        self.file, self.first, self.stop = file, first, stop
        note = read_json(file) or {}
        self.done, self.lists = note.get("done", 0), {name: note.get(name, []) for name in kept}
        self._noted = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether it is time to note how far it has come."""
        return self.first + self.done == self.stop or time.monotonic() - self._noted >= _NOTED_EVERY_S

    def add(self, count: int, **values: np.ndarray) -> None:
        """Count rows that were written, and keep what is known of them."""
        self.done += count
        for name, array in values.items():
            self.lists[name] += array.tolist()

    def note(self, **facts) -> None:
        """Write down how far it has come, and anything else; its rows have to be on disk."""
        write_json(self.file, {"done": self.done, **self.lists, **facts})
        self._noted = time.monotonic()


def read_json(file: Path) -> dict | None:
    """The mapping in a file; None if there is none that can be read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
