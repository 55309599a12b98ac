"""The table of a comparison, and the sentences below it: what exceeds the noise and what does not."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..recipe.summary import spread
from .noise import CONFIDENCE
from .plan import Column, Comparison
from .results import Result
from .timing import StepTime

_NOTHING = "-"


def table(comparison: Comparison, results: Mapping[str, Result], times: Mapping[str, StepTime]) -> str:
    """Methods below one another, recipes side by side, as Markdown: accuracy, gain over the reference, time of a step.

    A gain beyond noise is bold; with a star it is so among all methods of its recipe. "-" stands for what is not there yet.
    """
    heads = ["top-1, %", *([f"over {_title(comparison)}"] if comparison.reference else []), *(["ms a step"] if times else [])]
    lines = ["| | " + " | ".join(f"{column.name}: {head}" for column in comparison.columns for head in heads) + " |",
             "|---" * (1 + len(heads) * len(comparison.columns)) + "|"]
    for row in comparison.rows:
        fields = [field for column in comparison.columns
                  for field in _fields(comparison, results.get(f"{column.name}.{row.name}"), times)]
        lines.append(f"| {row.title} | {' | '.join(fields)} |")
    return "\n".join(lines) + "\n"


def statements(comparison: Comparison, results: Mapping[str, Result]) -> list[str]:
    """What the numbers say and what they do not, a line each."""
    lines, over = [], _title(comparison)
    for column in comparison.columns:
        of_recipe = [result for result in results.values() if result.cell.column.name == column.name]
        lines += _budget(column, of_recipe)
        gained = [result for result in of_recipe if result.gain]
        if gained:
            lines += _verdicts(column, over, gained)
    return lines


def _title(comparison: Comparison) -> str:
    """The reference's title; "" without one."""
    return next((row.title for row in comparison.rows if row.name == comparison.reference), "")


def _fields(comparison: Comparison, result: Result | None, times: Mapping[str, StepTime]) -> list[str]:
    if result is None:                                  # the method is not run under this recipe
        return [""] * (1 + bool(comparison.reference) + bool(times))
    values = list(result.top1.values())
    fields = [spread(values, ".1f") if values else _NOTHING]
    if comparison.reference:
        fields.append(_gain(result) if values else _NOTHING)
    if times:
        fields.append(_time(result, comparison.reference, times))
    return fields


def _time(result: Result, reference: str | None, times: Mapping[str, StepTime]) -> str:
    """Processor time of a step, and how many times the reference's that is."""
    name, other = result.cell.name, times.get(f"{result.cell.column.name}.{reference}")
    if name not in times:
        return _NOTHING
    words = f"{times[name].cpu_ms:.0f}"
    return f"{words} ({times[name].cpu_ms / other.cpu_ms:.2f} x)" if other else words


def _gain(result: Result) -> str:
    if result.gain is None:
        return ""
    words = spread(result.gain.values, "+.1f")
    return f"**{words}**{' *' if result.holds else ''}" if result.gain.beyond_noise else words


def _budget(column: Column, results: Sequence[Result]) -> list[str]:
    """Whether all methods of a recipe had as many steps."""
    steps = sorted({result.steps for result in results if result.steps})
    if len(steps) > 1:
        return [f"- {column.name}: the budgets are NOT equal; runs had {', '.join(f'{each:,}' for each in steps)} steps."]
    return [f"- {column.name}: {steps[0]:,} steps each."] if steps else []


def _verdicts(column: Column, over: str, gained: Sequence[Result]) -> list[str]:
    judged = [result for result in gained if result.gain.interval]
    if not judged:
        return [f"- {column.name}: with one seed nothing can be said about which differences from {over} exceed the noise."]
    lines = []
    for word, side in (("better", 1), ("worse", -1)):
        beyond = [result for result in judged if result.gain.beyond_noise and side * result.gain.mean > 0]
        lines.append(f"- {column.name}, {word} than {over} beyond noise: {_names(beyond)}.")
    within = [result for result in judged if not result.gain.beyond_noise]
    lines.append(f"- {column.name}, not to be told from {over}: {_names(within)}.")
    firm = [result for result in judged if result.holds]
    lines.append(f"- {column.name}: {len(judged)} differences were looked at, each by a {CONFIDENCE:.0%} interval over "
                 f"{_seeds(judged)} paired seeds; chance alone puts {(1 - CONFIDENCE) * len(judged):.1f} of them beyond noise. "
                 f"Beyond noise even so (Holm): {_names(firm)}.")
    return lines


def _seeds(judged: Sequence[Result]) -> str:
    counts = sorted({len(result.gain.values) for result in judged})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _names(results: Sequence[Result]) -> str:
    return ", ".join(result.cell.row.title for result in results) or "none"
