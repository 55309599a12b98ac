"""What `ssld compare` does: check every cell, run the jobs, time the steps, and write what came out."""
from __future__ import annotations

from pathlib import Path

from .. import build
from ..distiller import check_needs
from ..errors import located
from ..recipe.plan import jobs_of
from ..recipe.run import config_of, finished, run_recipe
from .plan import Comparison
from .summary import text, write_summary
from .timing import measure_times, read_times


def compare(comparison: Comparison, side_by_side: int = 1, dry_run: bool = False) -> Path | None:
    """Run what is not done yet; the same call goes on where an interrupted one stopped.

    Args:
        comparison: see `ssld.compare.plan`.
        side_by_side: jobs at a time; they share the cores. Steps are timed one at a time in any case.
        dry_run: print the commands and run none.

    Returns:
        comparison.json; None after a dry run.

    Raises:
        InputError: a cell that cannot be built, before the first job starts; or a job failed.
    """
    check_cells(comparison)
    file = run_recipe(comparison.recipe, side_by_side, dry_run, lambda recipe, jobs: write_summary(comparison, jobs, {}))
    if file is None or comparison.timing is None:
        return file
    measure_times(comparison)
    return write_summary(comparison, jobs_of(comparison.recipe), read_times(comparison))


def table_so_far(comparison: Comparison) -> str:
    """The table of what is through by now, as Markdown; nothing is run."""
    return text(comparison, jobs_of(comparison.recipe), finished(comparison.recipe), read_times(comparison))


def check_cells(comparison: Comparison) -> None:
    """Refuse losses that do not exist, options that they do not take, and losses on a teacher where there is none.

    Raises:
        InputError: naming the comparison's file, the method and the recipe.
    """
    jobs = {job.stage.name: job for job in jobs_of(comparison.recipe)}
    for cell in comparison.cells:
        with located(f"{comparison.file}: method '{cell.row.name}' under recipe '{cell.column.name}'"):
            config = config_of(jobs[cell.name], show_native=False)
            for term in build.build_terms(config):
                if not config.section("Arch").get("teacher"):
                    check_needs(term.method, None)
