"""How the runs went: loss, accuracy and learning rate over steps."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..charts import Chart, Line, inline, lines
from ..ladder import Run
from ..markup import Html, figure, join, markup, paragraph

_POINTS = 200                   # of a curve; longer logs are averaged
_STYLES, _REFERENCE, _LAST = (0, 1, 3, 5), 2, 4


def section(rungs: Sequence[Run], references: Sequence[Run]) -> Html:
    """Three charts that share one legend."""
    charts = curve_charts(rungs, references)
    legend = inline(next(iter(charts.values()))._replace(body=Html(""), height=0))
    figures = join(figure(markup("<h3>{}</h3>{}", name, inline(chart._replace(legend=()))))
                   for name, chart in charts.items())
    note = paragraph("Accuracy is that of the evaluation list; the last point is what the ladder shows. Losses of "
                     "different kinds (labels, a teacher) are on scales of their own: compare their course, not their "
                     "height.")
    return join([note, legend, markup('<div class="grid three">{}</div>', figures)])


def curve_charts(rungs: Sequence[Run], references: Sequence[Run]) -> dict[str, Chart]:
    """Title -> chart."""
    styled = [*zip(rungs, _styles(len(rungs))), *((run, _REFERENCE) for run in references)]
    accuracy = [_line(run, style, "eval", "top1", 100.0) for run, style in styled]
    losses = [_line(run, style, "train", "loss") for run, style in styled]
    rates = [_line(run, style, "train", "lr") for run, style in styled]
    return {"Top-1 accuracy": lines(accuracy, "Top-1 accuracy in percent over steps", "{:.4g} %", markers=True),
            "Training loss": lines(losses, "Training loss over steps", "{:.4g}"),
            "Learning rate": lines(rates, "Learning rate over steps", "{:.4g}")}


def _styles(rungs: int) -> list[int]:
    return [_STYLES[i % len(_STYLES)] for i in range(rungs - 1)] + [_LAST]


def _line(run: Run, style: int, event: str, key: str, factor: float = 1.0) -> Line:
    return Line(run.name, thinned([(e["step"], factor * e[key]) for e in run.events[event]]), style)


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most 200 points: means over equal parts of a longer curve, whose last point stays what it is."""
    if len(points) <= _POINTS:
        return list(points)
    parts = np.array_split(np.array(points[:-1]), _POINTS - 1)
    return [(round(x), y) for x, y in (part.mean(0).tolist() for part in parts)] + [points[-1]]
