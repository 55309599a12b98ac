"""Upright bars: how many lie in each bin."""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .charts import ABOVE, BELOW, Chart, across, plot_area, polyline, ticks, x_axis, y_axis
from .markup import Html, join, markup

_WIDE = Html('<rect class="wide" x="2" width="26" height="14"/>')
_NARROW = Html('<rect class="narrow" x="9" width="12" height="14"/>')
_THRESHOLD = Html('<line class="mark" x1="0" x2="30" y1="7" y2="7"/>')


class Counts(NamedTuple):
    """A name and how many lie in each bin."""

    name: str
    counts: Sequence[int]


def histogram(edges: Sequence[float], wide: Sequence[int], narrow: Sequence[int] | None, words: str, names: Sequence[str],
              stepped: Sequence[int] | None = None, height: int = 250) -> Chart:
    """Two counts per bin as a wide pale bar with a narrow dark one in it, and a third as a stepped line.

    Args:
        edges: [n + 1] of the bins.
        wide: [n] counts.
        narrow, stepped: [n] counts, or None.
        words: what the chart shows.
        names: what the counts are, in this order.
    """
    top = max([*wide, *(narrow or ()), *(stepped or ()), 1])
    plot, share = height - ABOVE - BELOW, 100 / len(wide)
    parts, legend = _columns(edges, Counts(names[0], wide), top, 0.9, "wide"), [(_WIDE, names[0])]
    if narrow is not None:
        parts += _columns(edges, Counts(names[1], narrow), top, 0.45, "narrow")
        legend.append((_NARROW, names[1]))
    if stepped is not None:
        corners = [(x * share, count) for i, count in enumerate(stepped) for x in (i, i + 1)]
        parts.append(polyline([(x, 100 - 100 * y / top) for x, y in corners], "s2"))
        legend.append((Html('<path class="line s2" d="M1,11h14v-8h14"/>'), names[-1]))
    axes = join([y_axis([y for y in ticks(0, top, 4) if y <= top], 0, top, plot, "{:,.10g}".format),
                 x_axis(ticks(edges[0], edges[-1], 5), (edges[0], edges[-1]), plot)])
    return Chart(join([axes, plot_area(join(parts), plot)]), height, words, tuple(legend))


def stacked_histograms(edges: Sequence[float], series: Sequence[Counts], marks: Sequence[tuple[str, float]], words: str,
                       height: int = 120) -> Chart:
    """One or two histograms over the same bins, one below the other; heights are logarithms, so that few show beside many.

    Args:
        edges: [n + 1] of the bins, the first and the last round.
        series: from top to bottom.
        marks: (name, value) of lines through all of them; at the border if they lie beyond it.
        words: what the chart shows.
        height: pixels of each.
    """
    parts, kinds = [], [("wide", _WIDE), ("narrow", _NARROW)]
    plot = height - ABOVE - 4
    for row, ((name, counts), (kind, _)) in enumerate(zip(series, kinds)):
        top = max([*counts, 1])
        bars = join(_columns(edges, Counts(name, counts), top, 0.9, kind, _magnitude))
        parts.append(markup('<svg y="{}" overflow="visible">{}{}</svg>', row * height, _log_axis(top, plot),
                            plot_area(bars, plot)))
    bottom = (len(series) - 1) * height
    axis = x_axis(ticks(edges[0], edges[-1], 5), (edges[0], edges[-1]), plot)
    parts.append(markup('<svg y="{}" overflow="visible">{}</svg>', bottom, axis))
    parts += [markup('<line class="mark" x1="{x}" x2="{x}" y1="{}" y2="{}"/>', ABOVE - 8, bottom + ABOVE + plot,
                     x=across(min(max(value, edges[0]), edges[-1]), edges[0], edges[-1])) for _, value in marks]
    legend = [(sample, name) for (name, _), (_, sample) in zip(series, kinds)]
    legend += [(_THRESHOLD, f"{name}: {value:g}") for name, value in marks]
    return Chart(join(parts), bottom + height + BELOW, words, tuple(legend))


def _columns(edges: Sequence[float], series: Counts, top: float, breadth: float, kind: str,
             scale: Callable[[float], float] = float) -> list[Html]:
    """Rectangles in percent of the plot; a bar is as high as `scale` of its count."""
    share, bars = 100 / len(series.counts), []
    for i, count in enumerate(series.counts):
        high = 100 * scale(count) / scale(top)
        box = (i * share + share * (1 - breadth) / 2, 100 - high, share * breadth, high)
        words = f"{series.name}, {edges[i]:.6g} to {edges[i + 1]:.6g}: {count:,}"
        bars.append(markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>', kind,
                           *(f"{value:.2f}%" for value in box), words))
    return bars


def _magnitude(count: float) -> float:
    """Zero for none, then one more for ten times as many."""
    return math.log10(1 + count)


def _log_axis(top: int, plot: int) -> Html:
    shown = [0, *([1] if top < 10 else []), *(10 ** power for power in range(1, 19) if 10 ** power <= top)]
    return y_axis([_magnitude(count) for count in shown], 0, _magnitude(top), plot, lambda y: f"{10 ** y - 1:,.0f}")
