"""Batches by step number: who sees what, when, is a function of (seed, step, rank, world size) alone.

Nothing has to be remembered to resume in the middle of an epoch, and two processes with half the batch each see the
same images per step as one process with the whole.
"""
from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from paddle.io import DataLoader
from paddle.io.dataloader.collate import default_collate_fn

from ..checks import positive_int
from ..errors import InputError
from .dataset import Visit


class StepSampler:
    """The visits of every training step.

    Args:
        size: images in the list.
        batch_size: images per process and step.
        shuffle: a new order for each pass.
        drop_last: leave out a last incomplete batch; otherwise it is filled from the beginning of the pass's order.
        seed: of the orders.
        rank, world: this process and how many there are.

    Raises:
        InputError: a pass of zero steps.
    """

    timetable = None            # a pass is an epoch, or Global.iter_per_epoch says what is one

    def __init__(self, size: int, batch_size: int, shuffle: bool = True, drop_last: bool = True, seed: int = 0,
                 rank: int = 0, world: int = 1):
        self.size, self.shuffle, self.seed, self.rank = size, shuffle, seed, rank
        self.batch_size = positive_int("batch_size", batch_size)
        self.global_batch = self.batch_size * world
        self.steps_per_pass = size // self.global_batch if drop_last else -(-size // self.global_batch)
        if not self.steps_per_pass:
            raise InputError(f"the list has {size} images, fewer than one batch of {self.global_batch} (batch_size "
                             f"{batch_size} x {world} processes), so with drop_last an epoch has zero steps. Use a "
                             "smaller batch_size, or drop_last: false.")
        self._cached: tuple[int, np.ndarray] | None = None

    def visits(self, step: int) -> list[Visit]:
        """What this process sees in step `step`, counted from 0 over the whole run."""
        pass_, position = divmod(step, self.steps_per_pass)
        return [Visit(row, pass_) for row in self.rows(pass_, position)]

    @property
    def made_of(self) -> str:
        """What a batch of one process is made of."""
        return str(self.batch_size)

    def rows(self, pass_: int, position: int) -> list[int]:
        """The rows that this process sees in one step of a pass; the pass's number seeds its order."""
        first = position * self.global_batch + self.rank * self.batch_size
        return self._order(pass_)[np.arange(first, first + self.batch_size) % self.size].tolist()

    def _order(self, pass_: int) -> np.ndarray:
        if self._cached is None or self._cached[0] != pass_:
            order = np.random.default_rng((self.seed, pass_)).permutation(self.size) if self.shuffle else np.arange(self.size)
            self._cached = pass_, order
        return self._cached[1]


class Loader:
    """Training batches from any step on.

    Args:
        dataset: map from Visit to sample dict; its method `join`, if it has one, makes a batch of samples.
        sampler: see StepSampler.
        num_workers: processes that read and transform; 0 reads in a thread of this process.
        use_shared_memory: how workers hand over batches.
    """

    def __init__(self, dataset, sampler: StepSampler, num_workers: int = 0, use_shared_memory: bool = True):
        self.dataset, self.sampler = dataset, sampler
        self.num_workers, self.use_shared_memory = num_workers, use_shared_memory

    def batches(self, first_step: int, last_step: int) -> Iterator[dict]:
        """Batches (dicts of tensors) of the steps first_step .. last_step - 1."""
        return _batches(self.dataset, _Plan(self.sampler, first_step, last_step), self.num_workers, self.use_shared_memory)


class MixingLoader(Loader):
    """Training batches whose images are mixed with each other.

    The draws of a step are a function of (seed, step, process), as everything else is.

    Args:
        loader: gives the batches.
        mix: batch, generator -> mixed batch; see ssld.data.mix.
        seed: of the draws.
    """

    def __init__(self, loader: Loader, mix: Callable[[dict, np.random.Generator], dict], seed: int):
        super().__init__(loader.dataset, loader.sampler, loader.num_workers, loader.use_shared_memory)
        self.mix, self.seed = mix, seed

    def batches(self, first_step, last_step):
        for step, batch in enumerate(super().batches(first_step, last_step), first_step):
            yield self.mix(batch, np.random.default_rng((self.seed, step, self.sampler.rank)))


class _Plan:
    """A batch sampler for paddle.io.DataLoader that works the visits out when they are asked for."""

    def __init__(self, sampler: StepSampler, first_step: int, last_step: int):
        self.sampler, self.steps = sampler, range(first_step, last_step)

    def __iter__(self):
        return map(self.sampler.visits, self.steps)

    def __len__(self) -> int:
        return len(self.steps)


def in_order(dataset, batch_size: int, rank: int = 0, world: int = 1, num_workers: int = 0) -> Iterator[dict]:
    """Every image once, split over processes, for evaluation and scoring.

    Each process gets the same number of batches; where the images do not divide evenly the last rows repeat earlier
    ones, so whoever gathers results goes by the "index" of each sample, never by position.
    """
    batch_size = positive_int("batch_size", batch_size)
    per_rank = -(-len(dataset) // world)
    rows = np.arange(rank * per_rank, (rank + 1) * per_rank) % len(dataset)
    plan = [[Visit(int(row), 0) for row in rows[first:first + batch_size]] for first in range(0, per_rank, batch_size)]
    return _batches(dataset, plan, num_workers)


class _Failure(NamedTuple):
    """What went wrong with a sample, and whether the user can mend it."""

    text: str
    mendable: bool


class _Reported:
    """A dataset whose exceptions arrive as data: Paddle's loader waits for ever after one in its thread, and turns one
    in a worker into a SystemError."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, visit: Visit):
        try:
            return self.dataset[visit]
        except InputError as error:
            return _Failure(str(error), True)
        except Exception:
            return _Failure(traceback.format_exc(), False)


def _collate(join: Callable[[list], dict], samples: list) -> dict:
    """A batch, or the first failure in it."""
    for sample in samples:
        if isinstance(sample, _Failure):
            return {"failure": np.frombuffer(sample.text.encode(), np.uint8), "mendable": np.array([sample.mendable])}
    return join(samples)


def _batches(dataset, plan, num_workers: int, use_shared_memory: bool = True) -> Iterator[dict]:
    """The planned batches; what fails in a worker or thread is raised here."""
    collate = partial(_collate, getattr(dataset, "join", default_collate_fn))
    for batch in DataLoader(_Reported(dataset), batch_sampler=plan, num_workers=num_workers, collate_fn=collate,
                            use_shared_memory=use_shared_memory, return_list=True):
        if "failure" in batch:
            text = batch["failure"].numpy().tobytes().decode()
            raise InputError(text) if bool(batch["mendable"]) else RuntimeError(f"reading data failed:\n{text}")
        yield batch
