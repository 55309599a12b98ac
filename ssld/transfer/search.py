"""Successive halving: all trials run to the first rung, the best go on to the next, until some have come to the end.

A trial that goes on continues its run from its checkpoint. Its learning rate follows the schedule of the whole length from the
first step, so trials are compared in the middle of it, as they would be in the middle of a full training.
"""
from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from ..config import Config
from ..errors import InputError
from ..recipe.plan import Job, Recipe, Stage
from ..recipe.run import run_recipe
from ..recipe.summary import measured
from ..train.runlog import read_events
from ..train.trainer import NOT_FINITE
from .draw import draw, promoted
from .ledger import Ledger, Trial
from .plan import Search
from .space import Space, changes

RUNS = "search"


class Halving:
    """The trials of a search, from where an interrupted one stopped.

    Args:
        search: how to search.
        space: what to choose from.
        config: of a trial, see `ssld.transfer.configs`.
        file: where it is written.
        folder: for the runs of the trials.
        ledger: of the trials.
        side_by_side: runs at a time.
        processes: of each run.
    """

    def __init__(self, search: Search, space: Space, config: Config, file: Path, folder: Path, ledger: Ledger,
                 side_by_side: int = 1, processes: int = 1):
        self.search, self.space, self.config, self.file, self.folder = search, space, config, file, folder
        self.ledger, self.side_by_side, self.processes = ledger, side_by_side, processes

    def run(self) -> list[Trial]:
        """All trials to where they come; returns them."""
        last = 0
        for number, size in enumerate(round_sizes(self.space.count(self.search), self.search.rounds)):
            first, last = last, last + size
            self._draw(number, first, last)
            for epochs in self.search.rungs:
                self._to_rung(epochs, first, last)
        return self.ledger.trials()

    def _draw(self, round_: int, first: int, last: int) -> None:
        """Note the settings of a round, unless that was done before."""
        known = self.ledger.trials()
        if len(known) < last:
            history = [(trial.setting, trial.accuracy) for trial in known[:first] if trial.accuracy]
            for setting in draw(self.space.candidates, last - first, self.search.seed, round_, history)[len(known) - first:]:
                self.ledger.add(setting)

    def _to_rung(self, epochs: int, first: int, last: int) -> None:
        """Train the trials of a round that are still running to a rung, and end those that do not go on."""
        missing = [trial for trial in self._running(first, last) if epochs not in trial.accuracy]
        if missing:
            print(f"{len(missing)} trials to epoch {epochs} of {self.search.rungs[-1]}", flush=True)
            found = self._train(missing, epochs)
            for trial in missing:
                if trial.number in found:
                    self.ledger.report(trial, epochs, found[trial.number])
                else:
                    self.ledger.fail(trial)
        here = [trial for trial in self.ledger.trials()[:last] if epochs in trial.accuracy]
        through = epochs == self.search.rungs[-1]
        goes_on = [False] * len(here) if through else promoted([trial.accuracy[epochs] for trial in here], self.search.eta)
        for trial, stays in zip(here, goes_on):
            if trial.state == "running" and not stays:
                self.ledger.finish(trial, through)
                _remove_checkpoints(self.folder / trial.name)

    def _running(self, first: int, last: int) -> list[Trial]:
        return [trial for trial in self.ledger.trials()[first:last] if trial.state == "running"]

    def _train(self, trials: Sequence[Trial], epochs: int) -> dict[int, float]:
        """Number of the trial -> top-1 on the validation images after so many epochs, of those that did not diverge."""
        left = list(trials)
        while left:
            try:
                return dict(zip((trial.number for trial in left), self._run(left, epochs)))
            except InputError:
                diverged = [trial for trial in left if _diverged(self.folder / trial.name)]
                if not diverged:
                    raise
                print(f"diverged: {', '.join(f'{trial.name} ({trial.setting})' for trial in diverged)}", flush=True)
                left = [trial for trial in left if trial not in diverged]
        return {}

    def _run(self, trials: Sequence[Trial], epochs: int) -> list[float]:
        """Top-1 of each on the validation images after so many epochs."""
        stages = tuple(Stage(trial.name, str(self.file), once=True, title=str(trial.setting),
                             set={**changes(trial.setting, self.space, self.config), "Global.stop_after_epoch": epochs})
                       for trial in trials)
        recipe = Recipe(str(self.folder), stages, (self.search.seed,), self.processes)
        return run_recipe(recipe, self.side_by_side, summarise=_accuracies)


def round_sizes(count: int, rounds: int) -> list[int]:
    """So many trials in rounds that differ by at most one."""
    return [count // rounds + (place < count % rounds) for place in range(rounds)]


def epochs_of(count: int, search: Search) -> int:
    """Epochs of so many trials together, where no two are equally good."""
    total, before = 0, 0
    for epochs in search.rungs:
        total, before = total + count * (epochs - before), epochs
        count = max(count // search.eta, 1)
    return total


def _accuracies(recipe: Recipe, jobs: Sequence[Job]) -> list[float]:
    return [measured(job)[0] for job in jobs]


def _diverged(folder: Path) -> bool:
    """Whether a run stopped because its loss or its weights were not finite any more."""
    return any(event["event"] == NOT_FINITE for event in read_events(folder))


def _remove_checkpoints(folder: Path) -> None:
    """Of a run that does not go on; its log and its config stay."""
    for name in ("best", "latest"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
