"""What finished runs left, cell by cell: accuracies, steps, and gains over the reference."""
from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from ..recipe.plan import Job
from ..recipe.summary import measured
from .noise import Difference, holm, paired
from .plan import Cell, Comparison


class Result(NamedTuple):
    """A method under a recipe, over the seeds that are through.

    Attributes:
        cell: what it is.
        top1: seed -> accuracy at the end, in percent.
        steps: optimizer steps of one run; 0 before the first is through.
        gain: percentage points over the reference, of the seeds that both have; None for the reference and without one.
        holds: whether the gain is beyond noise even with all methods of the recipe looked at (Holm).
    """

    cell: Cell
    top1: dict[int, float]
    steps: int = 0
    gain: Difference | None = None
    holds: bool = False


def read_cells(comparison: Comparison, jobs: Sequence[Job], done: Collection[str]) -> dict[str, Result]:
    """Name of the cell -> its result, from the jobs named in `done`."""
    results = {cell.name: _result(cell, [job for job in jobs if job.stage.name == cell.name and job.name in done])
               for cell in comparison.cells}
    for column in comparison.columns:
        reference = results.get(f"{column.name}.{comparison.reference}")
        if reference:
            add_gains(results, reference)
    return results


def _result(cell: Cell, jobs: Sequence[Job]) -> Result:
    found = {job.seed: measured(job) for job in jobs}
    steps = max((steps for _, steps in found.values()), default=0)
    return Result(cell, {seed: 100 * top1 for seed, (top1, _) in found.items()}, steps)


def add_gains(results: dict[str, Result], reference: Result) -> None:
    """Put the gains over the reference into the results of its recipe; which of them hold is judged by all of these."""
    of_recipe = {name: result for name, result in results.items()
                 if result.cell.column == reference.cell.column and result is not reference}
    for name, result in of_recipe.items():
        differences = [top1 - reference.top1[seed] for seed, top1 in result.top1.items() if seed in reference.top1]
        results[name] = result._replace(gain=paired(differences) if differences else None)
    judged = [name for name in of_recipe if results[name].gain and results[name].gain.p is not None]
    for name, holds in zip(judged, holm([results[name].gain.p for name in judged])):
        results[name] = results[name]._replace(holds=holds)
