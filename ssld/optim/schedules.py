"""Learning rates as functions of the step: nothing to save, nothing to restore.

Every schedule is called with a step counted from 0 over the whole run and answers with the rate of that step. The rate
is the one written in the config: it is never scaled by batch size or number of processes.
"""
from __future__ import annotations

import math
from collections.abc import Sequence

from ..checks import not_negative, numbers, positive, positive_int
from ..errors import InputError
from ..registry import Registry
from ..timetable import Timetable

SCHEDULES = Registry("learning-rate schedule")


class Schedule:
    """Linear warm-up, then what `after_warmup` says.

    Args:
        learning_rate: the base rate, > 0.
        warmup_epoch: length of the linear warm-up from `warmup_start_lr` to the base rate, in epochs.
        warmup_start_lr: rate of the first step when there is a warm-up.
        by_epoch: hold the rate during each pass over the list, instead of changing it at each step.
        warmup_prefix: the curve begins where the warm-up ends; false: it begins with the run, and the warm-up hides its
            beginning.
        total_batch: images of all processes in one step that the rates are written for; a run with another batch says so.
        timetable: of the run, supplied by the program.
    """

    def __init__(self, learning_rate: float, warmup_epoch: float = 0, warmup_start_lr: float = 0.0, by_epoch: bool = False,
                 warmup_prefix: bool = True, total_batch: int | None = None, timetable: Timetable | None = None):
        self.base = positive("learning_rate", learning_rate)
        self.warmup_epoch = not_negative("warmup_epoch", warmup_epoch)
        self.warmup_start_lr = not_negative("warmup_start_lr", warmup_start_lr)
        self.by_epoch, self.warmup_prefix = by_epoch, warmup_prefix
        self.total_batch = None if total_batch is None else positive_int("total_batch", total_batch)
        self.timetable = timetable or Timetable.uniform(1, 1)
        if warmup_epoch > self.timetable.epochs:
            raise InputError(f"warmup_epoch {warmup_epoch} is longer than the run of {self.timetable.epochs} epochs.")

    def __call__(self, step: int) -> float:
        """The learning rate of a step."""
        epoch = self.timetable.held_epoch(step) if self.by_epoch else self.timetable.epoch_at(step)
        if epoch < self.warmup_epoch:
            return self.warmup_start_lr + (self.base - self.warmup_start_lr) * epoch / self.warmup_epoch
        return self.after_warmup(epoch)

    def mismatch(self, batch: int) -> str | None:
        """What to say when a step takes `batch` images and the rates are written for another number; None when they fit."""
        if self.total_batch in (None, batch):
            return None
        return (f"learning_rate {self.base:g} is written for a total batch of {self.total_batch:,}, this run has {batch:,}. "
                "Reach that batch with more processes, a larger batch_size or Global.update_freq, or scale it: rates "
                f"times {batch / self.total_batch:.4g}, and total_batch: {batch}.")

    def after_warmup(self, epoch: float) -> float:
        """The rate at an epoch behind the warm-up, counted from the beginning of the run."""
        raise NotImplementedError(f"{type(self).__name__} does not define its rate")

    def share_done(self, epoch: float) -> float:
        """How much of the curve lies behind an epoch, from 0 to 1."""
        hidden = self.warmup_epoch if self.warmup_prefix else 0
        return (epoch - hidden) / (self.timetable.epochs - hidden)


@SCHEDULES.register
class Cosine(Schedule):
    """Half a cosine from the base rate to `eta_min`:  eta_min + (lr - eta_min) (1 + cos(pi t / T)) / 2.

    Args:
        eta_min: the rate towards which it falls.
        others: see Schedule.

    Source: Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", arXiv:1608.03983, eq. 5.
    """

    def __init__(self, learning_rate: float, warmup_epoch: float = 0, warmup_start_lr: float = 0.0,
                 eta_min: float = 0.0, by_epoch: bool = False, warmup_prefix: bool = True,
                 total_batch: int | None = None, timetable: Timetable | None = None):
        super().__init__(learning_rate, warmup_epoch, warmup_start_lr, by_epoch, warmup_prefix, total_batch, timetable)
        self.eta_min = not_negative("eta_min", eta_min)

    def after_warmup(self, epoch):
        return self.eta_min + (self.base - self.eta_min) * (1 + math.cos(math.pi * self.share_done(epoch))) / 2


@SCHEDULES.register
class ConstLR(Schedule):
    """The base rate throughout."""

    def after_warmup(self, epoch):
        return self.base


@SCHEDULES.register
class Linear(Schedule):
    """A straight line from the base rate to `end_lr`.

    Args:
        end_lr: rate at the end of the run.
        others: see Schedule.
    """

    def __init__(self, learning_rate: float, warmup_epoch: float = 0, warmup_start_lr: float = 0.0,
                 end_lr: float = 0.0, by_epoch: bool = False, warmup_prefix: bool = True,
                 total_batch: int | None = None, timetable: Timetable | None = None):
        super().__init__(learning_rate, warmup_epoch, warmup_start_lr, by_epoch, warmup_prefix, total_batch, timetable)
        self.end_lr = not_negative("end_lr", end_lr)

    def after_warmup(self, epoch):
        return self.base + (self.end_lr - self.base) * self.share_done(epoch)


@SCHEDULES.register
class Piecewise(Schedule):
    """Constant rates between given epochs.

    Args:
        learning_rate: as many rates as `decay_epochs`, plus one; the first one ends the warm-up.
        decay_epochs: where the next rate begins, counted from the beginning of the run.
        others: see Schedule.
    """

    def __init__(self, learning_rate: Sequence[float], decay_epochs: Sequence[float], warmup_epoch: float = 0,
                 warmup_start_lr: float = 0.0, by_epoch: bool = False, total_batch: int | None = None,
                 timetable: Timetable | None = None):
        rates, decay_epochs = numbers("learning_rate", learning_rate), numbers("decay_epochs", decay_epochs)
        if len(rates) != len(decay_epochs) + 1:
            raise InputError(f"{len(decay_epochs)} decay_epochs need {len(decay_epochs) + 1} rates, found "
                             f"{len(rates)}.")
        super().__init__(rates[0], warmup_epoch, warmup_start_lr, by_epoch, total_batch=total_batch, timetable=timetable)
        self.rates, self.decay_epochs = rates, decay_epochs

    def after_warmup(self, epoch):
        return self.rates[sum(epoch >= decay for decay in self.decay_epochs)]
