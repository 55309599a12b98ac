"""What came out of a recipe: accuracy of each stage over the seeds, as JSON, as a table and as a plot."""
from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from dedup.files import atomic_write, write_json

from .. import __version__
from ..report.ladder import read_run
from ..report.settings import Rung
from .plan import RESULT, WITHOUT_ACCURACY, Job, Recipe, Stage
from .plot import draw_rows


class Result(NamedTuple):
    """A stage over its seeds.

    Attributes:
        stage: what it is.
        top1: accuracy at its end for each seed, in [0, 1].
        steps: optimizer steps of one run; 0 for a stage that trains nothing.
        gains: percentage points over the stage that it is compared with, for each seed; None without one.
    """

    stage: Stage
    top1: tuple[float, ...]
    steps: int
    gains: Optional[tuple[float, ...]]

    @property
    def title(self) -> str:
        """How tables and plots call it."""
        return self.stage.title or self.stage.name


def write_summary(recipe: Recipe, jobs: Sequence[Job]) -> Path:
    """Write ladder.json, ladder.md and ladder.svg into the recipe's folder; returns the first."""
    folder, results = Path(recipe.output_dir), read_results(jobs)
    write_json(folder / "ladder.json", {"ssld": __version__, "title": recipe.title, "seeds": list(recipe.seeds),
                                        "stages": [_as_json(result) for result in results]})
    with atomic_write(folder / "ladder.md") as out:
        out.write(table(results))
    with atomic_write(folder / "ladder.svg") as out:
        accuracies = [[100 * value for value in result.top1] for result in results]
        out.write(draw_rows(recipe.title, [result.title for result in results], [("", accuracies)]))
    return folder / "ladder.json"


def read_results(jobs: Sequence[Job]) -> list[Result]:
    """The accuracies that finished jobs left; stages without any (expand) are passed over."""
    by_stage: dict[str, list[Job]] = {}
    for job in jobs:
        if job.stage.command not in WITHOUT_ACCURACY:
            by_stage.setdefault(job.stage.name, []).append(job)
    results: dict[str, Result] = {}
    for name, of_stage in by_stage.items():
        found = [measured(job) for job in of_stage]
        top1, stage = tuple(accuracy for accuracy, _ in found), of_stage[0].stage
        gains = _gains(results[stage.compare].top1, top1) if stage.compare in results else None
        results[name] = Result(stage, top1, found[0][1], gains)
    return list(results.values())


def table(results: Sequence[Result]) -> str:
    """A Markdown table: mean and sample standard deviation over the seeds, and the gains likewise."""
    lines = ["| | top-1, % | gain, points | over | published | steps |", "|---|---|---|---|---|---|"]
    titles = {result.stage.name: result.title for result in results}
    for result in results:
        gain = spread(result.gains, "+.1f") if result.gains else ""
        lines.append(f"| {result.title} | {spread([100 * value for value in result.top1], '.1f')} | {gain} | "
                     f"{titles.get(result.stage.compare, '')} | {result.stage.published} | {result.steps or ''} |")
    return "\n".join(lines) + "\n"


def measured(job: Job) -> tuple[float, int]:
    """Accuracy, in [0, 1], and number of steps of a finished job."""
    if job.stage.command == "eval":
        return json.loads((job.folder / RESULT).read_text())["accuracy"]["top1"], 0
    run = read_run(Rung(job.name, str(job.folder)))
    return run.top1, run.steps


def _gains(before: Sequence[float], after: Sequence[float]) -> tuple[float, ...]:
    """Differences seed by seed in percentage points; a stage that ran once stands for every seed."""
    before = before * len(after) if len(before) == 1 else before
    return tuple(100 * (b - a) for a, b in zip(before, after))


def spread(values: Sequence[float], form: str) -> str:
    """Mean and sample standard deviation as a text; one value stands alone."""
    mean = format(statistics.mean(values), form)
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _as_json(result: Result) -> dict:
    deviation = statistics.stdev(result.top1) if len(result.top1) > 1 else None
    return {"name": result.stage.name, "title": result.title, "top1": list(result.top1),
            "mean": statistics.mean(result.top1), "sample_standard_deviation": deviation, "steps": result.steps,
            "compare": result.stage.compare, "gains": result.gains and list(result.gains),
            "published": result.stage.published}
