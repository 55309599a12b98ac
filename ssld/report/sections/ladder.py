"""The headline: what the ladder gained, rung by rung."""
from __future__ import annotations

from collections.abc import Sequence

from ..bars import Bar, Mark, bars
from ..charts import Chart, inline
from ..ladder import Run, evaluated_alike, gain
from ..markup import Html, count, duration, figure, join, markup, number, paragraph, percent, points, table


def sentence(rungs: Sequence[Run], references: Sequence[Run]) -> Html:
    """The result in a sentence or two."""
    first, last = rungs[0], rungs[-1]
    if len(rungs) == 1:
        told = markup("“{}” reaches <strong>{}</strong> top-1 on {}.", last.name, percent(last.top1),
                      count(last.images, "image"))
    else:
        told = _compared(first, last)
    others = (markup(" The reference, “{}”, stands at {}.", run.name, percent(run.top1)) for run in references)
    return markup("{}{}", told, join(others))


def _compared(first: Run, last: Run) -> Html:
    difference = gain(first, last)
    between = markup("From “{}” to “{}” top-1 accuracy", first.name, last.name)
    if not difference.is_certain:
        return markup("{} goes from {} to {}: <strong>{} percentage points</strong>, which is below twice the standard "
                      "error of that difference ({}) and may be chance.", between, percent(first.top1),
                      percent(last.top1), points(difference.points), f"{difference.error:.2f}")
    template = "{} falls from {} to {}: <strong>{} percentage points</strong>; the ladder did not help."
    if difference.points > 0:
        template = '{} rises from {} to {}: <strong class="gain">{} percentage points</strong>.'
    return markup(template, between, percent(first.top1), percent(last.top1), points(difference.points))


def ladder_chart(rungs: Sequence[Run], references: Sequence[Run]) -> Chart:
    """Top-1 of every rung as a bar, the references as dashed lines."""
    rows = [Bar(run.name, 100 * run.top1, 100 * run.error, percent(run.top1),
                points(gain(before, run).points) if before else "") for before, run in zip([None, *rungs], rungs)]
    marks = [Mark(f"{run.name} {percent(run.top1)}", 100 * run.top1) for run in references]
    words = "; ".join(f"{run.name} {percent(run.top1)}" for run in (*rungs, *references))
    return bars(rows, marks, f"Top-1 accuracy in percent: {words}")


def section(rungs: Sequence[Run], references: Sequence[Run]) -> Html:
    """Chart, caution and table."""
    runs = [*rungs, *references]
    sizes = sorted({run.images for run in runs})
    caption = markup("Top-1 accuracy in percent at the last evaluation of each run, on {} images. At the right the "
                     "accuracy and, above it, the difference to the rung before in percentage points. The whisker is "
                     "one standard error, √(p (1 − p) / n), to either side.", " and ".join(map(number, sizes)))
    chart = figure(inline(ladder_chart(rungs, references)), caption)
    return join([chart, _cautions(rungs, runs), _table(rungs, references)])


def _cautions(rungs: Sequence[Run], runs: Sequence[Run]) -> Html:
    """What a careful reader would object."""
    steps = [(before, run, gain(before, run)) for before, run in zip(rungs, rungs[1:])]
    unsure = [markup("<li>“{}” against “{}”: {}, standard error {}</li>", run.name, before.name, points(g.points),
                     f"{g.error:.2f}") for before, run, g in steps if not g.is_certain]
    worse = [markup("<p>“{}” is worse than “{}” by {} points.</p>", run.name, before.name, f"{-g.points:.2f}")
             for before, run, g in steps if g.is_certain and g.points < 0]
    parts = worse
    if unsure:
        parts.append(markup("<p>Below twice its standard error, and so perhaps chance:</p><ul>{}</ul>", join(unsure)))
    if not evaluated_alike(runs):
        parts.append(paragraph("The runs were not evaluated on the same list, so their accuracies are not strictly "
                               "comparable."))
    return markup('<div class="caution">{}</div>', join(parts)) if parts else Html("")


def _table(rungs: Sequence[Run], references: Sequence[Run]) -> Html:
    rows = [[_name(run), percent(run.top1), f"± {100 * run.error:.2f}", _difference(before, run), *_facts(run)]
            for before, run in zip([None, *rungs], rungs)]
    rows += [[_name(run), percent(run.top1), f"± {100 * run.error:.2f}", "reference", *_facts(run)]
             for run in references]
    head = ("run", "top-1", "error", "to the rung before", "steps", "training images", "batch", "seed", "wall time")
    note = paragraph("Batch is the images of one optimizer step, all processes together; wall time adds up the sessions "
                     "of the log, evaluation included. The standard error of a difference takes the two "
                     "runs for independent; on the same images it is rather smaller.")
    return join([table(head, rows, "The runs in numbers"), markup('<div class="small">{}</div>', note)])


def _name(run: Run) -> Html:
    note = markup('<span class="note">{}</span>', run.rung.note) if run.rung.note else Html("")
    return markup("{}{}", run.name, note)


def _difference(before: Run | None, run: Run) -> Html | str:
    if before is None:
        return "–"
    difference = gain(before, run)
    sure = "" if difference.is_certain else markup('<span class="note">below 2 standard errors</span>')
    return markup("{}{}", points(difference.points), sure)


def _facts(run: Run) -> list[str]:
    start = run.events["start"][-1]
    return [number(run.steps), number(start["images"]), number(start["batch"]), str(run.settings.seed), duration(run.seconds)]
