"""How long a step of each cell takes: rounds over all cells, one run at a time on one core, after the runs that learn."""
from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dedup.files import write_json

from ..progress import Progress
from ..recipe.plan import Job, jobs_of
from ..recipe.run import environment, overrides_of, plan_of, run_logged
from .plan import Comparison

FILE = "timing.json"


class StepTime(NamedTuple):
    """Medians over the rounds, in milliseconds.

    Attributes:
        cpu_ms: processor time of a step, the loading of its batch included.
        wall_ms: time on the clock.
    """

    cpu_ms: float
    wall_ms: float


def read_times(comparison: Comparison) -> dict[str, StepTime]:
    """Name of the cell -> time of a step, of the cells that all rounds have been measured of and that have not changed."""
    if comparison.timing is None:
        return {}
    rounds = _known(comparison)
    return {name: StepTime(*(statistics.median(each[key] for each in found) for key in StepTime._fields))
            for name, found in rounds.items() if len(found) >= comparison.timing.rounds}


def measure_times(comparison: Comparison) -> None:
    """Measure what is not measured yet; afterwards `read_times` knows all cells.

    Raises:
        InputError: a run cannot be timed; its log is named and its last lines are shown.
    """
    jobs, known, plans = _first_jobs(comparison), _known(comparison), _plans(comparison)
    missing = [name for number in range(comparison.timing.rounds) for name in jobs if number >= len(known[name])]
    progress = Progress("time of a step", len(missing), every_s=0)
    for done, name in enumerate(missing, 1):
        known[name].append(_measure(comparison, jobs[name]))
        write_json(_file(comparison), {cell: {"plan": plans[cell], "rounds": found} for cell, found in known.items()})
        progress.update(done, name)


def _measure(comparison: Comparison, job: Job) -> dict[str, float]:
    """One round of one cell."""
    folder = Path(comparison.recipe.output_dir)
    out = folder / "timing_of_one.json"
    order = {"config": job.stage.config, "overrides": overrides_of(job), "warm_up": comparison.timing.warm_up,
             "steps": comparison.timing.steps, "out": str(out)}
    one_core = environment(len(os.sched_getaffinity(0)))
    run_logged(f"timing {job.stage.name}", [sys.executable, "-m", "ssld.compare.clock", json.dumps(order)], one_core,
               folder / "logs" / f"timing_{job.stage.name}.log")
    found = json.loads(out.read_text())
    out.unlink()
    return found


def _known(comparison: Comparison) -> dict[str, list[dict]]:
    """Rounds that were measured before, of each cell; those of a cell that has changed do not count."""
    try:
        stored = json.loads(_file(comparison).read_text())
    except FileNotFoundError:
        stored = {}
    return {name: stored[name]["rounds"] if stored.get(name, {}).get("plan") == plan else []
            for name, plan in _plans(comparison).items()}


def _plans(comparison: Comparison) -> Mapping[str, str]:
    """Of each cell, what a round measures."""
    settings = f"{comparison.timing.warm_up}+{comparison.timing.steps} steps"
    return {name: f"{plan_of(job)} {settings}" for name, job in _first_jobs(comparison).items()}


def _first_jobs(comparison: Comparison) -> dict[str, Job]:
    """The job of the first seed of each cell."""
    cells, first = {cell.name for cell in comparison.cells}, comparison.recipe.seeds[0]
    return {job.stage.name: job for job in jobs_of(comparison.recipe) if job.stage.name in cells and job.seed == first}


def _file(comparison: Comparison) -> Path:
    return Path(comparison.recipe.output_dir) / FILE
