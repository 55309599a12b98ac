"""When a run is where: its passes over the list, the optimizer steps that they take, and the epochs that they count for."""
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, Optional


class Pass(NamedTuple):
    """One pass over the list, or whatever counts as an epoch.

    Attributes:
        epoch: epochs done before it.
        epochs: how many it counts for: as many as it shows crops of each image.
        steps: optimizer steps that it takes.
        rate_epoch: at which its learning rate is read when the rate is held during a pass; default: epoch.
    """

    epoch: int
    epochs: int
    steps: int
    rate_epoch: Optional[int] = None

    @property
    def end(self) -> int:
        """Epochs done after it."""
        return self.epoch + self.epochs


class Timetable:
    """The passes of a run, one after the other.

    Args:
        passes: at least one; each begins where the one before it ends.
    """

    def __init__(self, passes: Sequence[Pass]):
        self.passes = list(passes)
        self._starts = [0, *accumulate(pass_.steps for pass_ in self.passes)]
        self.total_steps = self._starts.pop()
        self.epochs = self.passes[-1].end

    @classmethod
    def uniform(cls, epochs: int, steps_per_epoch: int) -> Timetable:
        """Epochs that are all alike."""
        return cls([Pass(epoch, 1, steps_per_epoch) for epoch in range(epochs)])

    def locate(self, step: int) -> tuple[int, int]:
        """Number of the pass that a step belongs to, and the step's number in it; steps count from 0."""
        number = bisect_right(self._starts, step) - 1
        return number, step - self._starts[number]

    def epoch_at(self, step: int) -> float:
        """(Fractional) epochs done before a step."""
        number, inside = self.locate(step)
        pass_ = self.passes[number]
        return pass_.epoch + pass_.epochs * inside / pass_.steps

    def held_epoch(self, step: int) -> int:
        """The epoch at which a rate is read that is held during each pass."""
        pass_ = self.passes[self.locate(step)[0]]
        return pass_.epoch if pass_.rate_epoch is None else pass_.rate_epoch

    def steps_by(self, epoch: float) -> int:
        """Steps after which so many epochs are done; where a pass counts for several, when the one that reaches them ends."""
        return sum(pass_.steps for pass_ in self.passes if pass_.epoch < epoch)

    def ended(self, step: int) -> Pass | None:
        """The pass that is over when `step` steps are done; None in the middle of one."""
        number, inside = self.locate(step - 1)
        pass_ = self.passes[number]
        return pass_ if inside + 1 == pass_.steps else None

    def __str__(self) -> str:
        """As "300 epochs of 5005 steps", or "300 epochs: 74 passes of 4 epochs in 5005 steps, 4 of 1 in 1252"."""
        runs: list[list] = []
        for pass_ in self.passes:
            kind = pass_.epochs, pass_.steps
            if runs and runs[-1][1] == kind:
                runs[-1][0] += 1
            else:
                runs.append([1, kind])
        if len(runs) == 1 and runs[0][1][0] == 1:
            return f"{self.epochs} epochs of {runs[0][1][1]}"
        return f"{self.epochs} epochs: " + ", ".join(f"{count} x {epochs} in {steps}" for count, (epochs, steps) in runs)
