"""The training loop: batches by step, for one student or for several that learn side by side."""
from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..data.dataset import UnreadableImages
from ..device import world_size

if TYPE_CHECKING:
    from .trainer import Trainer


def fit(trainers: Sequence[Trainer]) -> list[Path]:
    """Train to the end; returns the folder of the last checkpoint of each.

    All see the same batches. Each goes on from its own last checkpoint: who is ahead of the others waits for them.

    Args:
        trainers: at least one; those of several share loader, length and number of batches per step.

    Raises:
        InputError: a loss that is not finite (names the loss term and the images), a damaged checkpoint, a full disk, too many
            unreadable images.
    """
    loader, settings, total = trainers[0].loader, trainers[0].settings, trainers[0].total_steps
    unreadable, speed = UnreadableImages(loader.dataset), _Speed()
    for trainer in trainers:
        trainer.begin(unreadable)
    first = min(trainer.step for trainer in trainers)
    batches = loader.batches(first * settings.update_freq, total * settings.update_freq)
    speed.restart()
    for step in range(first, total):
        learners = [trainer for trainer in trainers if trainer.step == step]
        for trainer in learners:
            trainer.begin_step()
        for part in range(settings.update_freq):
            batch = next(batches)
            for place in unreadable.update(batch["unreadable"].numpy()):
                print(f"warning: {place} cannot be read; another image takes its place", file=sys.stderr)
            for trainer in learners:
                trainer.learn(batch, part)
            speed.images += len(batch["label"]) * world_size()
        images_per_s = speed.images_per_s()
        if any([trainer.end_step(images_per_s) for trainer in learners]):
            speed.restart()
    return [trainer.end() for trainer in trainers]


class _Speed:
    """Images per second since the last report, evaluation or checkpoint."""

    def restart(self) -> None:
        self.images, self._began = 0, time.perf_counter()

    def images_per_s(self) -> float:
        return self.images / (time.perf_counter() - self._began)
