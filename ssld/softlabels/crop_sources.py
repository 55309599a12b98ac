"""Where the crops of an image come from: drawn, or taken over from another store."""
from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from dedup.lists import Paths

from ..data.manifest import Manifest, describe_rows
from ..errors import InputError
from .crops import Crops, draw_crops
from .store import Store


class CropSource(Protocol):
    """The crops of each image of a list, the same whenever they are asked for.

    Attributes:
        facts: seed, scale, ratio and "boxes_of" for the metadata of a store.
    """

    facts: dict

    def __call__(self, row: int, width: int, height: int) -> Crops:
        """The crops of the image in a row of the list, which has width x height pixels."""


class DrawnCrops:
    """Random resized crops, see `draw_crops`.

    Args:
        paths: of the list.
        seed, count, scale, ratio: see `draw_crops`.
    """

    def __init__(self, paths: Paths, seed: int, count: int, scale: Sequence[float], ratio: Sequence[float]):
        self.paths, self.seed, self.count, self.scale, self.ratio = paths, seed, count, scale, ratio
        self.facts = {"seed": seed, "scale": list(scale), "ratio": list(ratio)}

    def __call__(self, row: int, width: int, height: int) -> Crops:
        return draw_crops(self.seed, self.paths[row], width, height, self.count, self.scale, self.ratio)


class StoredCrops:
    """The first crops of each image in another store, for labels of another teacher that belong to the same crops.

    Args:
        store: that has them.
        images: the list.
        count: crops per image.

    Raises:
        InputError: the store has too few crops, or not all of the images.
    """

    def __init__(self, store: Store, images: Manifest, count: int):
        if count > store.crops:
            raise InputError(f"{store.folder} has {store.crops} crops of each image, fewer than the {count} wanted.")
        self.store, self.images, self.count, self.rows = store, images, count, store.rows_of(images.path)
        absent = (self.rows < 0).nonzero()[0]
        if len(absent):
            raise InputError(f"{store.folder} lacks {len(absent):,} of the {len(images):,} images of {images.source}, so their "
                             f"crops are not known:{describe_rows(images, absent)}\nGive the list that it was made of.")
        self.facts = {**{name: store.meta.get(name) for name in ("seed", "scale", "ratio")},
                      "boxes_of": {"store": str(store.folder), "sha256": store.sha256}}

    def __call__(self, row: int, width: int, height: int) -> Crops:
        stored, table = int(self.rows[row]), self.store.images
        if not table.readable[stored]:
            raise InputError(f"{self.images.place(row)} could not be read when {self.store.folder} was made, which has no "
                             "crops of it; it can be read now. Take it off the list, or draw crops anew.")
        if (table.width[stored], table.height[stored]) != (width, height):
            raise InputError(f"{self.images.place(row)} has {width} x {height} pixels, but had {table.width[stored]} x "
                             f"{table.height[stored]} when {self.store.folder} was made: its crops are of another picture.")
        return self.store.codec.crops(self.store.records(stored)[:self.count])
