"""Charts as SVG that follow the colours of the page and the width of the screen, without a script.

Horizontal places are percentages and heights are pixels, so that text keeps its size on a phone. Nothing is told by
colour alone: lines differ in their dashes and markers, bars in their breadth.
"""
from __future__ import annotations

import math
import re
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from .markup import Html, join, markup

_MARKERS = ("M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.5,-3.5h7v7h-7z", "M0,-5L5,0L0,5L-5,0z", "M0,-5L5,4H-5z",
            "M-4.5,-4L4.5,-4L0,5z", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0")
_PLOT_LEFT, _PLOT_WIDTH = 8, 90         # percent of a chart; the numbers at its left stand on the grid lines
_TOP, _BELOW = 18, 26                   # pixels above and below the plot
_FILE_WIDTH = 760                       # pixels of a chart in a file of its own
_LEGEND_LINE = 22                       # pixels


class Chart(NamedTuple):
    """A drawing: SVG elements, height in pixels, words for who does not see it, and (sample, text) of its legend."""

    body: Html
    height: int
    words: str
    legend: tuple = ()


class Line(NamedTuple):
    """A named curve: its (x, y) points in order of x, and `style`, a number that chooses colour, dashes and marker."""

    name: str
    points: Sequence
    style: int


def inline(chart: Chart) -> Html:
    """The chart as an element of a page, its legend above it."""
    items = join(markup('<li><svg width="30" height="14" aria-hidden="true" class="chart">{}</svg>{}</li>', *item)
                 for item in chart.legend)
    legend = markup('<ul class="legend">{}</ul>', items) if chart.legend else Html("")
    return markup('{}<svg class="chart" role="img" aria-label="{}" width="100%" height="{}">{}</svg>',
                  legend, chart.words, chart.height, chart.body)


def file(chart: Chart) -> str:
    """The chart as a file of its own: light colours on white, legend included."""
    top = _LEGEND_LINE * len(chart.legend) + (8 if chart.legend else 0)
    legend = join(markup('<svg y="{}">{}<text x="40" y="12">{}</text></svg>', number * _LEGEND_LINE, sample, text)
                  for number, (sample, text) in enumerate(chart.legend))
    height = top + chart.height + 24
    return markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" aria-label="{}" width="{}" height="{}">'
        '<style>{}</style><rect width="100%" height="100%" fill="#fff"/>'
        '<svg x="2%" y="12" width="96%" height="{}">{}<svg y="{}" height="{}">{}</svg></svg></svg>\n',
        chart.words, _FILE_WIDTH, height, Html(_light_style()), height - 12, legend, top, chart.height, chart.body)


def stylesheet(name: str) -> str:
    """A style sheet of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _light_style() -> str:
    """The charts' style with the light colours written in, for viewers that know no CSS variables."""
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", stylesheet("palette.css").split("@media")[0]))
    return re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], stylesheet("charts.css"))


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about `wanted` steps of 1, 2, 2.5 or 5 times 10^n."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= span / wanted * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    # rounded, because 3 * 0.1 is 0.30000000000000004
    return [float(f"{n * step:.12g}") for n in range(first, max(last, first + 1) + 1)]


def place(value: float, low: float, high: float) -> str:
    """Where a value lies between two others, in percent with two decimals."""
    return f"{100 * (value - low) / (high - low):.2f}%"


def lines(curves: Sequence[Line], words: str, y_label: str = "{:g}", markers: bool = False, height: int = 230) -> Chart:
    """Curves over training steps.

    Args:
        curves: at least one with a point.
        words: what the chart shows.
        y_label: format of the numbers at the left.
        markers: mark every point, and not only the last.
        height: pixels.
    """
    xs, ys = zip(*((x, y) for curve in curves for x, y in curve.points))
    x_ticks = [x for x in ticks(0, max(xs), 4) if x <= max(xs)]
    y_ticks = ticks(min(0, *ys), max(ys), 4)
    box = 0, max(xs) or 1, y_ticks[0], y_ticks[-1]
    plot = height - _TOP - _BELOW
    drawn = join(_curve(curve, box, y_label, markers) for curve in curves)
    axes = join([_y_axis(y_ticks, *box[2:], plot, y_label), _x_axis(x_ticks, box[:2], plot, "step ")])
    legend = tuple((_sample(curve.style), curve.name) for curve in curves)
    return Chart(join([axes, _plot(drawn, plot)]), height, words, legend)


def histogram(edges: Sequence[float], wide: Sequence[int], narrow: Sequence[int], words: str, names: Sequence[str],
              stepped: Sequence[int] | None = None, height: int = 250) -> Chart:
    """Two counts per bin as a wide pale bar with a narrow dark one in it, and a third as a stepped line.

    Args:
        edges: [n + 1] of the bins.
        wide, narrow, stepped: [n] counts.
        words: what the chart shows.
        names: what the counts are; three of them with `stepped`.
    """
    top = max([*wide, *narrow, *(stepped or ()), 1])
    plot, share = height - _TOP - _BELOW, 100 / len(wide)
    parts = [_column(i * share, share, 0.9, count, top, "wide", f"{names[0]}, {edges[i]:.2f} to {edges[i + 1]:.2f}")
             for i, count in enumerate(wide)]
    parts += [_column(i * share, share, 0.45, count, top, "narrow", f"{names[1]}, {edges[i]:.2f} to {edges[i + 1]:.2f}")
              for i, count in enumerate(narrow)]
    legend = [(Html('<rect class="wide" x="2" width="26" height="14"/>'), names[0]),
              (Html('<rect class="narrow" x="9" width="12" height="14"/>'), names[1])]
    if stepped is not None:
        corners = [(x * share, count) for i, count in enumerate(stepped) for x in (i, i + 1)]
        parts.append(_polyline([(x, 100 - 100 * y / top) for x, y in corners], "s2"))
        legend.append((Html('<path class="line s2" d="M1,11h14v-8h14"/>'), names[2]))
    axes = join([_y_axis([y for y in ticks(0, top, 4) if y <= top], 0, top, plot, "{:,.10g}"),
                 _x_axis(ticks(edges[0], edges[-1], 5), (edges[0], edges[-1]), plot)])
    return Chart(join([axes, _plot(join(parts), plot)]), height, words, tuple(legend))


def _column(left: float, share: float, breadth: float, count: int, top: float, kind: str, words: str) -> Html:
    high = 100 * count / top
    box = (left + share * (1 - breadth) / 2, 100 - high, share * breadth, high)
    return markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>', kind,
                  *(f"{value:.2f}%" for value in box), words, f"{count:,}")


def _plot(content: Html, height: int) -> Html:
    return markup('<svg x="{}%" y="{}" width="{}%" height="{}" overflow="visible">{}</svg>',
                  _PLOT_LEFT, _TOP, _PLOT_WIDTH, height, content)


def _y_axis(values: Sequence[float], low: float, high: float, plot: int, label: str) -> Html:
    return join(markup('<line class="grid" x1="0" x2="{}%" y1="{y}" y2="{y}"/>'
                       '<text class="tick" x="0" y="{y}" dy="-4">{}</text>', _PLOT_LEFT + _PLOT_WIDTH,
                       label.format(value),
                       y=f"{_TOP + plot * (1 - (value - low) / (high - low)):.1f}") for value in values)


def _x_axis(values: Sequence[float], box: Sequence[float], plot: int, unit: str = "") -> Html:
    """Numbers below the plot; `unit` stands before the first."""
    def left(value):
        return f"{_PLOT_LEFT + _PLOT_WIDTH * (value - box[0]) / (box[1] - box[0]):.2f}%"

    return join(markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}{}</text>', left(value),
                       _TOP + plot + 18, "" if i else unit, f"{value:,.10g}") for i, value in enumerate(values))


def _curve(curve: Line, box: Sequence[float], label: str, markers: bool) -> Html:
    """The line, its markers, and what each of them says when pointed at."""
    x0, x1, y0, y1 = box
    style = curve.style % len(_MARKERS)
    corners = [(100 * (x - x0) / (x1 - x0), 100 * (y1 - y) / (y1 - y0)) for x, y in curve.points]
    shape = _polyline(corners, f"s{style}")
    marked = [markup('<svg x="{}" y="{}" overflow="visible"><path class="marker s{}" d="{}"><title>{}</title></path>'
                     "</svg>", place(x, x0, x1), place(y, y1, y0), style, _MARKERS[style],
                     f"{curve.name}, step {x:,}: {label.format(y)}")
              for x, y in (curve.points if markers else curve.points[-1:])]
    return join([shape, *marked])


def _polyline(percentages, style: str) -> Html:
    path = " ".join(f"{x:.2f},{y:.2f}" for x, y in percentages)
    return markup('<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none" overflow="visible">'
                  '<polyline class="line {}" points="{}"/></svg>', style, path)


def _sample(style: int) -> Html:
    style %= len(_MARKERS)
    return markup('<path class="line s{}" d="M0,7h30"/><path class="marker s{}" d="{}" transform="translate(15,7)"/>',
                  style, style, _MARKERS[style])
