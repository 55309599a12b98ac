"""Reading a store of soft labels: one record for each crop, mapped into memory."""
from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

import numpy as np

from dedup.files import sha256_file
from dedup.lists import Paths

from ..errors import InputError
from ..progress import Progress
from .codec import Codec
from .image_table import ImageTable

META, TABLE = "meta.json", "images.npz"
FORMAT, VERSION = "ssld soft labels", 1
_NEEDED = ("kind", "k", "class_num", "crops", "record", "images", "images_sha256", "shard_images", "seed", "table", "shards")


class Store:
    """Labels of M crops of each of N images.

    Nothing is read but the table of images; records are mapped when they are asked for, in each process that asks. What is
    sent to another process is the name of the folder.

    Args:
        folder: what a StoreWriter finished.

    Attributes:
        meta: what meta.json says: how the labels were made, of which list, and all files with their checksums.
        codec: of the records.
        class_num: classes of a label.
        crops: M.
        seed: of the crops; None if they were not drawn here.
        sha256: of meta.json, and by it of everything.

    Raises:
        InputError: not finished, of another version, or a file is missing or cut off.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.meta = _read_meta(self.folder)
        self.codec = Codec(self.meta["kind"], self.meta["k"], self.meta["class_num"], str(self.folder))
        self.class_num, self.crops, self.seed = self.meta["class_num"], self.meta["crops"], self.meta["seed"]
        self.sha256 = sha256_file(self.folder / META)
        if self.codec.fields() != self.meta["record"]:
            raise InputError(f"{self.folder / META} describes records {self.meta['record']}, expected {self.codec.fields()}.")
        for entry in (self.meta["table"], *self.meta["shards"]):
            self._check_size(entry)
        self._maps: dict[int, np.ndarray] = {}

    @cached_property
    def images(self) -> ImageTable:
        """The images, in the order of the rows."""
        return ImageTable.read(self.folder / TABLE)

    def rows_of(self, paths: Paths) -> np.ndarray:
        """Row of each path, -1 where there is none; int64 [n]."""
        return self.images.rows_of(paths)

    def records(self, row: int) -> np.ndarray:
        """The records [M] of an image, which `codec` reads."""
        if not 0 <= row < self.meta["images"]:
            raise IndexError(f"{self.folder} has no image {row}, only {self.meta['images']}")
        shard, place = divmod(row, self.meta["shard_images"])
        if shard not in self._maps:
            self._maps[shard] = self._map(shard)
        return self._maps[shard][place]

    def verify(self, show_progress: bool = True) -> list[str]:
        """Compare all files with their checksums.

        Returns:
            SHA-256 of each shard.

        Raises:
            InputError: naming the first that was altered.
        """
        entries = [self.meta["table"], *self.meta["shards"]]
        progress = Progress("file", len(entries), quiet=not show_progress)
        for number, entry in enumerate(entries, 1):
            file = self.folder / entry["file"]
            if sha256_file(file) != entry["sha256"]:
                raise InputError(f"{file} was altered: its SHA-256 is not that of {META}. {_remedy(entry)}")
            progress.update(number)
        return [entry["sha256"] for entry in self.meta["shards"]]

    def _map(self, shard: int) -> np.ndarray:
        entry = self.meta["shards"][shard]
        mapped = np.memmap(self.folder / entry["file"], self.codec.dtype, "r", shape=(entry["images"], self.crops))
        return np.asarray(mapped)           # a plain array, whose parts are taken several times as fast

    def _check_size(self, entry: dict) -> None:
        file = self.folder / entry["file"]
        size = file.stat().st_size if file.is_file() else None
        if size != entry["bytes"]:
            found = "is missing" if size is None else f"has {size:,} bytes, expected {entry['bytes']:,}: it is not whole"
            raise InputError(f"{file} {found}. {_remedy(entry)}")

    def __reduce__(self):
        return Store, (self.folder,)


def facts_of(file: Path) -> dict:
    """Name, size and checksum of a file, as meta.json holds them."""
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": sha256_file(file)}


def _remedy(entry: dict) -> str:
    return (f"Copy it again from where it came, or remove {entry['file']} and start the command that made the store again: it "
            "makes only what is missing.")


def _read_meta(folder: Path) -> dict:
    file = folder / META
    if not file.exists():
        raise InputError(f"{folder} is no store of soft labels: it has no {META}. If its making was interrupted, it is not "
                         "finished: start the same command again, it goes on where it stopped.")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise InputError(f"{file} is of the format {meta['format']!r}, expected {FORMAT!r}.")
        if meta["version"] != VERSION:
            raise InputError(f"{file} is of version {meta['version']}; this release reads version {VERSION}. Generate the "
                             "store again, or use the release that made it.")
        missing = [key for key in _NEEDED if key not in meta]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} cannot be read: {type(error).__name__} {error}. Copy the store again.") from error
    if missing:
        raise InputError(f"{file} lacks {', '.join(missing)}. Copy the store again.")
    return meta
