"""Labels for every crop of every image of a list: what the teachers say, into a store."""
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..checks import fraction
from ..data.dataset import UnreadableImages
from ..data.loader import Loader
from ..data.manifest import Manifest
from ..device import is_main, rank, world_size
from ..errors import InputError
from ..progress import Progress
from ..train.parallel import together
from .codec import Codec
from .crop_batches import CropBatches, Grouping, InBlocks
from .crop_sources import CropSource
from .crops import Crops
from .ensemble import Ensemble
from .rendezvous import Rendezvous, rendezvous
from .shard_writer import PROGRESS
from .writer import StoreWriter


class Labelled(NamedTuple):
    """Consecutive images with their records.

    Attributes:
        records: [n, crops] of the codec; zeros where an image could not be read.
        width, height: int64 [n], pixels; 0 where it could not be read.
        readable: bool [n].
    """

    records: np.ndarray
    width: np.ndarray
    height: np.ndarray
    readable: np.ndarray

    def since(self, first: int) -> Labelled:
        """Without the images before `first`."""
        return Labelled(*(array[first:] for array in self))


class Labeller:
    """Asks the teachers about the crops of images.

    Args:
        images: the list.
        crops_of: the crops of its images.
        grouping: of the crops into batches.
        ensemble: the teachers.
        codec: of the records.
        num_workers: processes that read and cut ahead of the teachers; 0: a thread of this process.
    """

    def __init__(self, images: Manifest, crops_of: CropSource, grouping: Grouping, ensemble: Ensemble, codec: Codec,
                 num_workers: int = 0):
        self.images, self.crops_of, self.grouping, self.ensemble, self.codec = images, crops_of, grouping, ensemble, codec
        self.num_workers = num_workers

    def label(self, rows: np.ndarray, done: int = 0) -> Iterator[Labelled]:
        """Groups of images with their labels, in order.

        Args:
            rows: int64 [N], rows of the list, the first of them the first of a shard.
            done: how many of them to leave out.

        Raises:
            InputError: an image too large for a record, or an answer that is not finite.
        """
        groups = np.arange(done - done % self.grouping.images, len(rows), self.grouping.images)
        batches = CropBatches(self.images, rows, self.crops_of, self.grouping, self.ensemble.views)
        order = InBlocks(groups, self.grouping.batches, self.num_workers)
        parts: dict[int, list[np.ndarray]] = {}
        for step, batch in enumerate(Loader(batches, order, self.num_workers).batches(0, order.steps)):
            (first, number), = order.visits(step)
            sample = {name: tensor.numpy() for name, tensor in batch.items() if not name.startswith("view")}
            parts.setdefault(first, []).append(self._records(batch, sample, number, rows[first]))
            if number == self.grouping.batches - 1:
                records = np.concatenate(parts.pop(first)).reshape(-1, self.grouping.crops)
                records[~sample["readable"]] = 0
                labelled = Labelled(records, *(sample[name] for name in ("width", "height", "readable")))
                yield labelled.since(max(done - first, 0))

    def _records(self, batch: dict, sample: dict, number: int, row: int) -> np.ndarray:
        """The records of a batch, without those that only fill it up."""
        part = slice(number * self.grouping.size, (number + 1) * self.grouping.size)
        crops = Crops(sample["box"].reshape(-1, 4)[part], sample["flip"].ravel()[part])
        answers = self.ensemble.ask_about([batch[f"view{view}"] for view in range(len(self.ensemble.views))])[:len(crops.box)]
        if not np.isfinite(answers).all():
            raise InputError(f"the teacher's answer for {self.images.place(int(row))} or its neighbours is not finite. Are its "
                             "weights whole, and its mean and std those it was trained with?")
        return self.codec.encode(answers, crops)


def generate(labeller: Labeller, writer: StoreWriter, max_bad_fraction: float = 0.001) -> None:
    """Fill a store; processes of paddle.distributed.launch share its shards. Started again it goes on where it stopped.

    Args:
        labeller: of the list that `writer` was made for.
        writer: of the store.
        max_bad_fraction: unreadable images above this share of the list are an error, in [0, 1].

    Raises:
        InputError: too many of them, a full disk, or as `Labeller.label`.
    """
    run = _Run(labeller, writer, fraction("SoftLabels.max_bad_fraction", max_bad_fraction))
    with rendezvous(writer.folder / PROGRESS) as others:
        run.fill(others)
        missing = writer.shards()
        others.wait_until(lambda: all(shard.entry() for shard in missing))
    with together():
        if is_main():
            run.finish()


class _Run:
    """One process's part."""

    def __init__(self, labeller: Labeller, writer: StoreWriter, max_bad_fraction: float):
        self.labeller, self.writer, self.manifest, self.max_bad_fraction = labeller, writer, labeller.images, max_bad_fraction
        self.unreadable = UnreadableImages(self)

    def fill(self, others: Rendezvous) -> None:
        """The shards of this process."""
        shards = self.writer.shards(rank(), world_size())
        self.done = self.first = sum(shard.done for shard in shards)
        self.began, self.busy = time.monotonic(), self.labeller.ensemble.seconds
        progress = Progress("image", sum(shard.stop - shard.first for shard in shards), self.done, quiet=not is_main())
        for shard in shards:
            self._take_note(shard.first, np.array(shard.lists["readable"], bool))
            for labelled in self.labeller.label(np.arange(shard.first, shard.stop), shard.done):
                self._take_note(shard.first + shard.done, labelled.readable)
                shard.append(*labelled)
                self.done += len(labelled.records)
                progress.update(self.done, self._speed())
                others.look()
            shard.close()

    def finish(self) -> None:
        """Judge the unreadable images of all processes and earlier runs together, and make it a store."""
        for shard in self.writer.all_shards():
            self._take_note(shard.first, np.array(shard.lists["readable"], bool))
        self.writer.finish()

    def _take_note(self, first: int, readable: np.ndarray) -> None:
        for place in self.unreadable.update(first + np.flatnonzero(~readable)):
            print(f"warning: {place} cannot be read; it has no labels", file=sys.stderr)

    def _speed(self) -> str:
        seconds = max(time.monotonic() - self.began, 1e-6)
        crops = (self.done - self.first) * self.labeller.grouping.crops
        busy = (self.labeller.ensemble.seconds - self.busy) / seconds
        return f"{crops / seconds:,.1f} crops/s, teachers at work {busy:.0%} of the time"
