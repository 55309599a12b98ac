"""Writing a store: by several processes, each with shards of its own, any of which may be killed at any moment."""
from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dedup.files import write_json
from dedup.shards import require_same_plan

from ..data.manifest import Manifest
from ..errors import InputError
from .codec import Codec
from .image_table import ImageTable
from .shard_writer import PROGRESS, ShardWriter
from .store import FORMAT, META, TABLE, VERSION, facts_of

DESCRIBED = ("teachers", "input_size", "interpolation", "mean", "std", "temperature", "scale", "ratio", "seed")
_PLAN = "plan.json"


class StoreWriter:
    """A folder that becomes a store when `finish` writes its meta.json; until then the same command goes on with it.

    Args:
        folder: on a disk that all processes see.
        meta: how the labels come about; what is missing of DESCRIBED is noted as null, not known.
        images: the list; its paths are the keys, its order is that of the records.
        codec: of the records.
        crops: records per image.
        shard_images: images per file.

    Raises:
        InputError: the folder holds what was begun with something else; no images; not enough space.
    """

    def __init__(self, folder: str | Path, meta: Mapping, images: Manifest, codec: Codec, crops: int, shard_images: int = 4096):
        self.folder, self.images, self.codec, self.crops, self.shard_images = Path(folder), images, codec, crops, shard_images
        if not len(images):
            raise InputError(f"{images.source or 'the list'} names no image, so there is nothing to store labels of.")
        self.plan = json.loads(json.dumps({
            "format": FORMAT, "version": VERSION, "kind": codec.kind, "k": codec.k, "class_num": codec.class_num,
            "crops": crops, "record": codec.fields(), "images": len(images), "images_sha256": images.path.sha256(),
            "labels_sha256": hashlib.sha256(images.label.astype("<i8").tobytes()).hexdigest(), "shard_images": shard_images,
            "orientation": "ignored", "colour": "RGB", **dict.fromkeys(DESCRIBED), **meta}))
        self._claim()
        self._check_space()

    def shards(self, rank: int = 0, world: int = 1) -> list[ShardWriter]:
        """The shards of a process that are not whole yet: of every `world`-th, so that no two processes have the same."""
        return [shard for shard in self.all_shards()[rank::world] if shard.entry() is None]

    def finish(self) -> None:
        """Make it a store; for the main process, once all shards are closed.

        Raises:
            InputError: a shard is not whole.
        """
        shards = self.all_shards()
        entries = [shard.entry() for shard in shards]
        if None in entries:
            raise InputError(f"{shards[entries.index(None)].target} is not whole. Start the same command again; it goes on "
                             "where it stopped.")
        width, height, readable = (np.concatenate([shard.lists[name] for shard in shards])
                                   for name in ("width", "height", "readable"))
        ImageTable(self.images.path, width, height, self.images.label, readable).write(self.folder / TABLE)
        write_json(self.folder / META, {**self.plan, "table": facts_of(self.folder / TABLE), "shards": entries})

    def all_shards(self) -> list[ShardWriter]:
        """The shards of all processes, whole or not."""
        return [ShardWriter(self.folder, number, first, min(first + self.shard_images, len(self.images)), self.codec.dtype,
                            self.crops) for number, first in enumerate(range(0, len(self.images), self.shard_images))]

    def _claim(self) -> None:
        """Find the plan that is there to be the same, or write it."""
        file = self.folder / PROGRESS / _PLAN
        if file.exists():
            require_same_plan(file, self.plan, "store", f"Remove {self.folder}")
        elif (self.folder / META).exists():
            raise InputError(f"{self.folder} holds a store, but not the notes of its making. Choose another folder, or remove "
                             "it.")
        else:
            write_json(file, self.plan)

    def _check_space(self) -> None:
        size = len(self.images) * self.crops * self.codec.dtype.itemsize
        there = sum(file.stat().st_size for file in self.folder.glob("shard-*.bin*"))
        free = shutil.disk_usage(self.folder).free
        if free < size - there:
            raise InputError(f"{self.folder} needs {size:,} bytes for {self.crops} crops of {len(self.images):,} images, of "
                             f"which {there:,} are there, but only {free:,} are free. Free some space, choose another folder, "
                             "or store fewer crops.")
