"""A comparison's results as JSON, as a table and as a plot."""
from __future__ import annotations

import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dedup.files import atomic_write, write_json

from .. import __version__
from ..recipe.plan import WITHOUT_ACCURACY, Job
from ..recipe.plot import draw_rows
from ..recipe.summary import measured
from .noise import CONFIDENCE
from .plan import Comparison
from .results import Result, read_cells
from .tables import statements, table
from .timing import StepTime


def write_summary(comparison: Comparison, jobs: Sequence[Job], times: Mapping[str, StepTime]) -> Path:
    """Write comparison.json, .md and .svg into the comparison's folder; returns the first.

    Args:
        comparison: all of whose jobs are through.
        jobs: these.
        times: name of the cell -> time of a step.
    """
    done, file = {job.name for job in jobs}, Path(comparison.recipe.output_dir) / "comparison.json"
    results = read_cells(comparison, jobs, done)
    write_json(file, _as_json(comparison, jobs, results, times))
    with atomic_write(file.with_suffix(".md")) as out:
        out.write(text(comparison, jobs, done, times))
    with atomic_write(file.with_suffix(".svg")) as out:
        out.write(_picture(comparison, results))
    return file


def text(comparison: Comparison, jobs: Sequence[Job], done: Collection[str], times: Mapping[str, StepTime]) -> str:
    """The table of what is through, and below it what can be said, as Markdown."""
    results = read_cells(comparison, jobs, done)
    return "\n".join([table(comparison, results, times), *_before(jobs, done), *statements(comparison, results)]) + "\n"


def _before(jobs: Sequence[Job], done: Collection[str]) -> list[str]:
    """A line for each stage before the cells that has an accuracy."""
    return [f"- {job.stage.title or job.name}: top-1 {100 * measured(job)[0]:.1f} %." for job in jobs
            if job.seed is None and job.name in done and job.stage.command not in WITHOUT_ACCURACY]


def _picture(comparison: Comparison, results: Mapping[str, Result]) -> str:
    panels = [(column.title, [list(results[name].top1.values()) if name in results else []
                              for name in (f"{column.name}.{row.name}" for row in comparison.rows)])
              for column in comparison.columns]
    return draw_rows(comparison.recipe.title, [row.title for row in comparison.rows], panels)


def _as_json(comparison: Comparison, jobs: Sequence[Job], results: Mapping[str, Result], times: Mapping[str, StepTime]) -> dict:
    return {"ssld": __version__, "title": comparison.recipe.title, "seeds": list(comparison.recipe.seeds),
            "reference": comparison.reference, "confidence": CONFIDENCE,
            "before": {job.name: measured(job)[0] for job in jobs
                       if job.seed is None and job.stage.command not in WITHOUT_ACCURACY},
            "recipes": [{"name": column.name, "title": column.title} for column in comparison.columns],
            "methods": [{"name": row.name, "title": row.title} for row in comparison.rows],
            "cells": [_cell_as_json(result, times.get(name)) for name, result in results.items()]}


def _cell_as_json(result: Result, time: StepTime | None) -> dict:
    values, gain = list(result.top1.values()), result.gain
    return {"recipe": result.cell.column.name, "method": result.cell.row.name, "losses": result.cell.losses,
            "steps": result.steps, "top1_percent": values, "mean": statistics.mean(values),
            "sample_standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
            "gain": gain and {**gain._asdict(), "beyond_noise": gain.beyond_noise, "beyond_noise_of_all": result.holds},
            "step": time and time._asdict()}
