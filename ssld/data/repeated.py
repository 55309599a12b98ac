"""Repeated augmentation: a pass shows fewer images, each of them several times, changed differently."""
from __future__ import annotations

import sys

from ..checks import positive_int
from ..device import is_main
from ..errors import InputError
from .dataset import Visit
from .loader import StepSampler

_ROUND = 256                    # a pass shows a multiple of so many images, over all processes; part of the recipes' rule


class RASampler(StepSampler):
    """The visits of every training step under repeated augmentation.

    The order of a pass, each row written `repeats` times in succession, is dealt out to the processes in turn: place
    j of process r shows row order[(r + j * world) // repeats]. Each process takes the first floor(floor(N / 256) * 256 / world)
    places, so a pass shows about N pictures of N / repeats images. With at least `repeats` processes no batch of a process
    holds an image twice; with fewer, stderr says that it does.

    Args:
        size, batch_size, shuffle, drop_last, seed, rank, world: see StepSampler; a last incomplete batch is left out or
            filled from the process's first places.
        repeats: how often a pass shows an image.

    Raises:
        InputError: fewer than 256 images, or a pass of zero steps.

    Source: Hoffer et al., "Augment your batch: better training with larger batches", arXiv:1901.09335; the rule of the
    places is that of DeiT's released code, which PaddleClas and timm share.
    """

    def __init__(self, size: int, batch_size: int, repeats: int = 3, shuffle: bool = True, drop_last: bool = True,
                 seed: int = 0, rank: int = 0, world: int = 1):
        self.repeats, self.world = positive_int("repeats", repeats), world
        self.places = size // _ROUND * _ROUND // world
        if not self.places:
            raise InputError(f"RASampler shows a multiple of {_ROUND} images in a pass, but the list has {size}. Use "
                             "DistributedBatchSampler for short lists.")
        super().__init__(self.places * world, batch_size, shuffle, drop_last, seed, rank, world)
        self.size = size
        if world < repeats and is_main():
            print(f"warning: RASampler shows each image {repeats} times in a pass, and with fewer than {repeats} processes "
                  f"(here {world}) several of these times in one batch. Recipes with repeated augmentation are meant for more.",
                  file=sys.stderr)

    def visits(self, step):
        pass_, position = divmod(step, self.steps_per_pass)
        order, visits = self._order(pass_), []
        for place in range(position * self.batch_size, (position + 1) * self.batch_size):
            number, copy = divmod(self.rank + place % self.places * self.world, self.repeats)
            visits.append(Visit(int(order[number]), pass_, copy=copy))
        return visits

    def rows(self, pass_, position):
        return [visit.row for visit in self.visits(pass_ * self.steps_per_pass + position)]

    @property
    def made_of(self):
        return f"{self.batch_size}, each image {self.repeats} times a pass"
