"""Runs as the ladder shows them: what each log says, and how sure one can be of a difference."""
from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..config import Config
from ..errors import InputError
from ..train.runlog import FILE, read_events
from ..train.settings import Settings
from .settings import Rung

CONFIG = "config.yaml"
CERTAIN = 2.0                   # standard errors from which a difference is taken for real


class Run(NamedTuple):
    """A finished run.

    Attributes:
        rung: what the report's config says about it.
        config: as it was resolved.
        events: "train" and "eval" events of the log.
        steps: optimizer steps of the whole run.
        seconds: between start and end of each session of the log, added up.
    """

    rung: Rung
    config: Config
    events: dict[str, list[dict]]
    steps: int
    seconds: float

    @property
    def name(self) -> str:
        """How the report calls it."""
        return self.rung.name

    @property
    def settings(self) -> Settings:
        """Its Global section."""
        return Settings(**self.config.section("Global"))

    @property
    def top1(self) -> float:
        """Accuracy at the last evaluation, in [0, 1]."""
        return self.events["eval"][-1]["top1"]

    @property
    def images(self) -> int:
        """Evaluation images."""
        return self.events["eval"][-1]["images"]

    @property
    def error(self) -> float:
        """Standard error of the accuracy: sqrt(p (1 - p) / n), in [0, 1]."""
        return math.sqrt(self.top1 * (1 - self.top1) / self.images)

    def loader(self, mode: str) -> dict:
        """DataLoader.Train or DataLoader.Eval of its config."""
        return self.config.section("DataLoader").get(mode) or {}


class Gain(NamedTuple):
    """What one run has over another: `points` in [-100, 100], and the standard error of that difference.

    The errors of the two are added as if they were independent; on the same images they rather go together, which
    makes the true error smaller.
    """

    points: float
    error: float

    @property
    def is_certain(self) -> bool:
        """Whether it is at least twice its standard error."""
        return abs(self.points) >= CERTAIN * self.error


def gain(before: Run, after: Run) -> Gain:
    """The gain of `after` over `before` in percentage points."""
    return Gain(100 * (after.top1 - before.top1), 100 * math.hypot(before.error, after.error))


def read_run(rung: Rung) -> Run:
    """A finished run from its folder.

    Raises:
        InputError: no log, no config, not finished, or never evaluated.
    """
    folder = Path(rung.run)
    log = read_events(folder)
    if not log:
        raise InputError(f"the run '{rung.name}': {folder / FILE} does not exist or is empty. Give the output_dir of a "
                         "training run.")
    config = Config.load(folder / CONFIG)
    events = {kind: [e for e in log if e["event"] == kind] for kind in ("start", "train", "eval", "end")}
    total = events["start"][-1]["total_steps"] if events["start"] else 0
    reached = max((event["step"] for event in events["train"]), default=0)
    if not events["end"] or reached < total:
        raise InputError(f"the run '{rung.name}' in {folder} is not finished: its log ends at step {reached} of "
                         f"{total}. Train it to the end (ssld train -c {folder / CONFIG}), or leave it out.")
    if not events["eval"]:
        raise InputError(f"the run '{rung.name}' in {folder} was never evaluated, so it has no accuracy. Its config "
                         "needs DataLoader.Eval.")
    return Run(rung, config, events, total, _seconds(log))


def _seconds(log: Sequence[dict]) -> float:
    """Time from each start to the last event before the next one."""
    total, began, last = 0.0, None, None
    for event in log:
        if event["event"] == "start":
            total += last - began if began is not None else 0.0
            began = event["time"]
        last = event["time"]
    return total + (last - began if began is not None else 0.0)


def evaluated_alike(runs: Sequence[Run]) -> bool:
    """Whether all runs name the same evaluation list and counted as many images."""
    lists = ((run.loader("Eval").get("dataset") or {}).get("cls_label_path", "") for run in runs)
    return len({(os.path.abspath(file), run.images) for file, run in zip(lists, runs)}) == 1
