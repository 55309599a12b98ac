"""Several crops of each image per visit: which images make a step, and what counts as an epoch.

A pass that shows m crops of every image counts as m epochs, so runs with any m see the same number of crops.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..checks import positive_int
from ..data.dataset import Visit
from ..data.loader import StepSampler
from ..errors import InputError
from ..timetable import Pass, Timetable


class CropPass(NamedTuple):
    """One pass over the images.

    Attributes:
        epoch: epochs done before it; seeds its order.
        crops: of each image, and so many epochs.
        rate_epoch: at which its learning rate is read, by schedules that hold the rate during a pass.
    """

    epoch: int
    crops: int
    rate_epoch: int


def plan_passes(epochs: int, crops: int, one_crop_epochs: int = 0, tail: bool = True, tail_ahead: int = 0) -> list[CropPass]:
    """The passes of a run.

    Args:
        epochs: length of the run; the crops of an image that it shows.
        crops: m, of an image per visit.
        one_crop_epochs: epochs at the beginning, such as those of a warm-up, that show one crop of each image.
        tail: the last m epochs are m passes of one crop, to be evaluated one by one; false: passes of m crops to the end,
            the last of them shorter where m does not divide what is left.
        tail_ahead: how many epochs ahead of itself the tail reads its learning rate.

    Source: released code of Shen and Xing, arXiv:2112.01528; its runs with AdamW have one_crop_epochs 5 and tail_ahead 1.
    """
    passes, epoch = [], 0
    while epoch < epochs:
        in_tail = tail and epoch >= epochs - crops
        count = 1 if in_tail or epoch < one_crop_epochs else min(crops, epochs - epoch)
        passes.append(CropPass(epoch, count, epoch + (tail_ahead if in_tail else 0)))
        epoch += count
    return passes


class CropSampler:
    """The visits of every training step, where a visit shows several crops of its image.

    A step holds as many crops as its batch_size says, of ceil(B / m) images over all processes, the same number in each;
    where B is not divisible, fewer crops. Steps of one-crop passes hold m times as many images.

    Args:
        size: images in the list.
        batch_size: crops per process and step.
        passes: of the run; None: passes of `crops` crops for ever, where epochs are counted in steps.
        crops: m.
        accumulate: batches per optimizer step; a pass leaves out what does not fill one.
        shuffle, drop_last, seed, rank, world: see StepSampler.

    Raises:
        InputError: less than one image or one step.
    """

    def __init__(self, size: int, batch_size: int, crops: int, passes: Sequence[CropPass] | None = None, accumulate: int = 1,
                 shuffle: bool = True, drop_last: bool = True, seed: int = 0, rank: int = 0, world: int = 1):
        self.size, self.batch_size, self.rank = size, positive_int("batch_size", batch_size), rank
        self.crops, self.passes, self.accumulate = positive_int("crops_per_image", crops), passes, accumulate
        kinds = {crops, *(pass_.crops for pass_ in passes or ())}
        self._by_crops = {kind: StepSampler(size, self._images(kind, world), shuffle, drop_last, seed, rank, world)
                          for kind in kinds}
        self.global_batch = crops * self._by_crops[crops].global_batch
        self.steps_per_pass = self._by_crops[crops].steps_per_pass
        self.timetable = passes and Timetable([Pass(p.epoch, p.crops, self._steps(p.crops), p.rate_epoch) for p in passes])

    def visits(self, step: int) -> list[Visit]:
        """What this process sees in batch `step`, counted from 0 over the whole run."""
        if self.timetable:
            number, inside = self.timetable.locate(step // self.accumulate)
            pass_, position = self.passes[number], inside * self.accumulate + step % self.accumulate
        else:
            number, position = divmod(step, self.steps_per_pass)
            pass_ = CropPass(number * self.crops, self.crops, 0)
        rows = self._by_crops[pass_.crops].rows(pass_.epoch, position)
        return [Visit(row, pass_.epoch, pass_.crops) for row in rows]

    @property
    def made_of(self) -> str:
        """What a batch of one process is made of."""
        return f"{self._by_crops[self.crops].batch_size} images with {self.crops} crops each"

    def _images(self, crops: int, world: int) -> int:
        """Images per process and step: floor(ceil(B / m) / G)."""
        images = -(-self.batch_size * world // crops) // world
        if not images:
            raise InputError(f"batch_size {self.batch_size} is less than one image of {crops} crops per process. Use a larger "
                             "batch_size or fewer crops_per_image.")
        return images

    def _steps(self, crops: int) -> int:
        steps = self._by_crops[crops].steps_per_pass // self.accumulate
        if not steps:
            raise InputError(f"a pass of {crops} crops has {self._by_crops[crops].steps_per_pass} batches, fewer than "
                             f"Global.update_freq {self.accumulate}, so it has zero steps.")
        return steps
