"""Batches of crops for the teachers: read and cut ahead of them by other processes, always of the same size.

A batch is a function of a few consecutive images, counted from the beginning of their shard, so that no label depends on how
many processes there are, or on where a run was interrupted.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from paddle.io import Dataset

from dedup.images import ImageError

from ..data.manifest import Manifest
from ..data.transforms import DecodeImage
from .crops import Crops
from .views import View


class Grouping(NamedTuple):
    """How crops are put into batches.

    Attributes:
        crops: of each image.
        images: consecutive ones that share batches.
        batches: that hold their crops.
        size: crops of a batch; what is missing in the last one is filled up.
    """

    crops: int
    images: int
    batches: int
    size: int

    @classmethod
    def of(cls, crops: int, batch_size: int) -> Grouping:
        """As many images as fit into batch_size crops, at least one, in batches of equal size, at most batch_size."""
        images = max(1, batch_size // crops)
        batches = -(-images * crops // batch_size)
        return cls(crops, images, batches, -(-images * crops // batches))

    def passes(self, images: int, shard_images: int) -> int:
        """How many batches the images of a store make."""
        shards, rest = divmod(images, shard_images)
        return self.batches * (shards * -(-shard_images // self.images) + -(-rest // self.images))


class Batch(NamedTuple):
    """Which batch.

    Attributes:
        first: place of the group's first image among the rows.
        number: of the batch within the group.
    """

    first: int
    number: int


class CropBatches(Dataset):
    """The batches of some rows of a list.

    A sample is a dict: "view<i>" uint8 [size, side, side, 3]; and of the group's images "box" int64 [n, crops, 4], "flip" bool
    [n, crops], "width" and "height" int64 [n], "readable" bool [n]. What cannot be read is black.

    Args:
        images: the list.
        rows: int64 [N], which of its rows, the first of them the first of a shard.
        crops_of: (row, width, height) -> the crops of an image.
        grouping: into batches.
        views: of the teachers.
    """

    def __init__(self, images: Manifest, rows: np.ndarray, crops_of: Callable[[int, int, int], Crops], grouping: Grouping,
                 views: list[View]):
        super().__init__()
        self.images, self.rows, self.crops_of, self.grouping, self.views = images, rows, crops_of, grouping, views
        self.decode = DecodeImage(ignore_orientation=True)
        self._last: tuple[int, list] = (-1, [])

    def __len__(self) -> int:
        return -(-len(self.rows) // self.grouping.images) * self.grouping.batches

    def __getitem__(self, batch: Batch) -> dict[str, np.ndarray]:
        group = self._group(batch.first)
        box, flip = (np.stack([getattr(crops, name) for _, crops in group]) for name in ("box", "flip"))
        height, width = np.array([(0, 0) if image is None else image.shape[:2] for image, _ in group], np.int64).T
        return {**{f"view{number}": self._pixels(group, batch.number, view) for number, view in enumerate(self.views)},
                "box": box, "flip": flip, "width": width, "height": height, "readable": height > 0}

    def join(self, samples: list[dict]) -> dict:
        """A batch that the loader asks for is one sample."""
        sample, = samples
        return sample

    def _group(self, first: int) -> list[tuple[np.ndarray | None, Crops]]:
        """Pixels and crops of the images of a group, decoded once."""
        if self._last[0] != first:
            rows = self.rows[first:first + self.grouping.images]
            self._last = first, [self._image(int(row)) for row in rows]
        return self._last[1]

    def _image(self, row: int) -> tuple[np.ndarray | None, Crops]:
        try:
            image = np.asarray(self.decode(self.images.file(row), None))
            return image, self.crops_of(row, image.shape[1], image.shape[0])
        except (ImageError, OSError):
            return None, Crops(np.zeros((self.grouping.crops, 4), np.int64), np.zeros(self.grouping.crops, bool))

    def _pixels(self, group: list, number: int, view: View) -> np.ndarray:
        """The crops of a batch, first image first; black where there are none."""
        size, count = self.grouping.size, self.grouping.crops
        pixels = np.zeros((size, view.size, view.size, 3), np.uint8)
        for place, (image, crops) in enumerate(group):
            start, stop = max(place * count, number * size), min((place + 1) * count, (number + 1) * size)
            if image is not None and start < stop:
                own = slice(start - place * count, stop - place * count)
                pixels[start - number * size:stop - number * size] = view.cut(image, Crops(crops.box[own], crops.flip[own]))
        return pixels


class InBlocks:
    """The order of batches for `ssld.data.loader.Loader`: each reading process takes whole images, so that it decodes them
    once; as many groups as there are processes are under way at the same time.

    Args:
        groups: places of the first images.
        batches: of each group.
        processes: that read.
    """

    def __init__(self, groups: np.ndarray, batches: int, processes: int):
        self.groups, self.batches, self.processes = groups, batches, max(processes, 1)
        self.rank, self.steps = 0, len(groups) * batches

    def visits(self, step: int) -> list[Batch]:
        """The batch that is read as number `step`."""
        block, place = divmod(step, self.processes * self.batches)
        groups = self.groups[block * self.processes:(block + 1) * self.processes]
        return [Batch(int(groups[place % len(groups)]), place // len(groups))]
