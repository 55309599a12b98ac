"""What came out of a transfer: the trials of its search and the rows of its end, as JSON, as tables and as plots."""
from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from dedup.files import atomic_write, write_json

from .. import __version__
from ..compare.noise import CONFIDENCE, Difference, paired
from ..recipe.plot import draw_rows
from ..recipe.summary import spread
from .final import Row
from .ledger import Trial
from .lists import Lists
from .plan import Transfer
from .space import Space

FILE = "transfer.json"


class Result(NamedTuple):
    """A row of the end over its seeds.

    Attributes:
        row: what it is.
        top1: accuracy on the evaluation images at the end, in [0, 1]; one for each seed.
        steps: optimizer steps of a run.
        gain: percentage points of the best setting over it, paired by seed; None for the best setting itself.
    """

    row: Row
    top1: tuple[float, ...]
    steps: int
    gain: Optional[Difference] = None


def with_gains(results: Sequence[Result]) -> list[Result]:
    """The results, compared with the first."""
    best = results[0]
    return [best, *(other._replace(gain=paired([100 * (a - b) for a, b in zip(best.top1, other.top1)]))
                    for other in results[1:])]


def write_results(plan: Transfer, space: Space, lists: Lists, trials: Sequence[Trial], results: Sequence[Result]) -> Path:
    """Write transfer.json, .md and .svg, and search.svg where there was a search; returns the first.

    Args:
        plan: the transfer.
        space: what was searched.
        lists: of the task.
        trials: all of them; none, where there was a single setting.
        results: the rows of the end, the best setting first.
    """
    file = Path(plan.output_dir) / FILE
    write_json(file, _as_json(plan, space, lists, trials, results))
    with atomic_write(file.with_suffix(".md")) as out:
        out.write(text(plan, space, lists, trials, results))
    with atomic_write(file.with_suffix(".svg")) as out:
        out.write(draw_rows(plan.title, [result.row.title for result in results],
                            [("", [[100 * value for value in result.top1] for result in results])]))
    if trials:
        with atomic_write(file.with_name("search.svg")) as out:
            out.write(_picture_of_search(plan, trials))
    return file


def text(plan: Transfer, space: Space, lists: Lists, trials: Sequence[Trial], results: Sequence[Result]) -> str:
    """Tables of the end and of the search, as Markdown, and what they are measured on."""
    several = len(results[0].top1) > 1
    measured = (f"Top-1 in percent on the {len(lists.eval):,} evaluation images after {plan.search.rungs[-1]} epochs on "
                f"{len(lists.all):,} training images, ")
    measured += (f"mean and sample standard deviation over {len(results[0].top1)} seeds. Gains are of the first row, paired by "
                 f"seed, with the interval that holds their mean with {CONFIDENCE:.0%} confidence." if several else
                 "one seed, so nothing can be said about noise.")
    parts = [f"# {plan.title}", measured, _table(results)]
    if trials:
        chosen = (f"The search: {len(trials)} trials, top-1 in percent on {len(lists.validation):,} validation images, which "
                  f"no trial learnt from and which are not the evaluation images; of the trials at a rung the best "
                  f"1/{plan.search.eta} went on.")
        parts += [chosen, _table_of_search(plan, trials)]
    sets = {name: " ".join(f"{value:g}" for value in space.sets[name]) for name in _used(trials, results)}
    named = "\n".join(f"- {name}: {values}" for name, values in sets.items() if name != values)
    return "\n\n".join([*parts, f"Multipliers of the stages, input side first ({space.remark}):\n\n{named}"]) + "\n"


def _table(results: Sequence[Result]) -> str:
    lines = ["| | top-1, % | gain of the first row, points | steps |", "|---|---|---|---|"]
    for result in results:
        lines.append(f"| {result.row.title} | {spread([100 * value for value in result.top1], '.1f')} | {_gain(result.gain)} | "
                     f"{result.steps:,} |")
    return "\n".join(lines)


def _gain(gain: Difference | None) -> str:
    if gain is None:
        return ""
    words = spread(gain.values, "+.1f")
    if gain.interval is None:
        return words
    return f"{words} [{gain.interval[0]:+.1f}, {gain.interval[1]:+.1f}]{'' if gain.beyond_noise else ', within noise'}"


def _table_of_search(plan: Transfer, trials: Sequence[Trial]) -> str:
    rungs = plan.search.rungs
    heads = " | ".join(map(_epochs, rungs))
    lines = [f"| | multipliers | rate | l2 | {heads} |", "|---" * (4 + len(rungs)) + "|"]
    for number, (name, rate, l2), accuracy, state in trials:
        values = " | ".join(f"{100 * accuracy[epochs]:.1f}" if epochs in accuracy else "" for epochs in rungs)
        name = f"{name} (diverged)" if state == "fail" else name
        lines.append(f"| {number} | {name} | {rate:.3g} | {'' if l2 is None else f'{l2:.3g}'} | {values} |")
    return "\n".join(lines)


def _picture_of_search(plan: Transfer, trials: Sequence[Trial]) -> str:
    panels = [(f"after {_epochs(epochs)}", [[100 * trial.accuracy[epochs]] if epochs in trial.accuracy else []
                                            for trial in trials]) for epochs in plan.search.rungs]
    return draw_rows(f"{plan.title}: search, validation images", [f"{t.number}: {t.setting}" for t in trials], panels)


def _epochs(count: int) -> str:
    return f"{count} epoch{'' if count == 1 else 's'}"


def _used(trials: Sequence[Trial], results: Sequence[Result]) -> list[str]:
    """Names of the sets that were tried, each once."""
    settings = [*(trial.setting for trial in trials), *(result.row.setting for result in results if result.row.setting)]
    return list(dict.fromkeys(setting.multipliers for setting in settings))


def _as_json(plan: Transfer, space: Space, lists: Lists, trials: Sequence[Trial], results: Sequence[Result]) -> dict:
    return {"ssld": __version__, "title": plan.title, "student": plan.student, "seeds": list(plan.final.seeds),
            "epochs": plan.search.rungs[-1], "classes": lists.class_num,
            "images": {name: len(manifest) for name, manifest in lists.manifests.items()},
            "multipliers": {name: list(space.sets[name]) for name in _used(trials, results)}, "remark": space.remark,
            "search": [_trial_as_json(trial) for trial in trials],
            "final": [_result_as_json(result) for result in results]}


def _trial_as_json(trial: Trial) -> dict:
    return {"number": trial.number, **trial.setting._asdict(), "state": trial.state,
            "validation_top1": {str(epochs): value for epochs, value in trial.accuracy.items()}}


def _result_as_json(result: Result) -> dict:
    setting: Mapping = result.row.setting._asdict() if result.row.setting else {}
    return {"name": result.row.name, "title": result.row.title, **setting, "set": result.row.changes,
            "top1": list(result.top1), "mean": statistics.mean(result.top1),
            "sample_standard_deviation": statistics.stdev(result.top1) if len(result.top1) > 1 else None,
            "steps": result.steps, "gain_of_best": result.gain and {**result.gain._asdict(),
                                                                    "beyond_noise": result.gain.beyond_noise}}
