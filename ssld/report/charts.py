"""Charts as SVG that follow the colours of the page and the width of the screen, without a script.

Horizontal places are percentages and heights are pixels, so that text keeps its size on a phone. Nothing is told by
colour alone: lines differ in their dashes and markers, bars in their breadth.
"""
from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from importlib import resources
from typing import NamedTuple

from .markup import Html, join, markup

_MARKERS = ("M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-3.5,-3.5h7v7h-7z", "M0,-5L5,0L0,5L-5,0z", "M0,-5L5,4H-5z",
            "M-4.5,-4L4.5,-4L0,5z", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0")
_PLOT_LEFT, _PLOT_WIDTH = 8, 90         # percent of a chart; the numbers at its left stand on the grid lines
ABOVE, BELOW = 18, 26                   # pixels above and below the plot
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


def packaged(name: str) -> str:
    """The text of a style sheet or script of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _light_style() -> str:
    """The charts' style with the light colours written in, for viewers that know no CSS variables."""
    colours = dict(re.findall(r"(--[\w-]+): ([^;]+);", packaged("palette.css").split("@media")[0]))
    return re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], packaged("charts.css"))


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
    plot = height - ABOVE - BELOW
    drawn = join(_curve(curve, box, y_label, markers) for curve in curves)
    axes = join([y_axis(y_ticks, *box[2:], plot, y_label.format), x_axis(x_ticks, box[:2], plot, "step ")])
    legend = tuple((_sample(curve.style), curve.name) for curve in curves)
    return Chart(join([axes, plot_area(drawn, plot)]), height, words, legend)


def plot_area(content: Html, height: int) -> Html:
    """Content between the axes."""
    return markup('<svg x="{}%" y="{}" width="{}%" height="{}" overflow="visible">{}</svg>',
                  _PLOT_LEFT, ABOVE, _PLOT_WIDTH, height, content)


def y_axis(values: Sequence[float], low: float, high: float, plot: int, label: Callable[[float], str]) -> Html:
    """Lines across a plot of `plot` pixels from `low` to `high`, and what `label` makes of their values."""
    return join(markup('<line class="grid" x1="0" x2="{}%" y1="{y}" y2="{y}"/>'
                       '<text class="tick" x="0" y="{y}" dy="-4">{}</text>', _PLOT_LEFT + _PLOT_WIDTH,
                       label(value),
                       y=f"{ABOVE + plot * (1 - (value - low) / (high - low)):.1f}") for value in values)


def x_axis(values: Sequence[float], box: Sequence[float], plot: int, unit: str = "") -> Html:
    """Numbers below the plot; `unit` stands before the first."""
    return join(markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}{}</text>', across(value, *box),
                       ABOVE + plot + 18, "" if i else unit, f"{value:,.10g}") for i, value in enumerate(values))


def across(value: float, low: float, high: float) -> str:
    """Where a value lies on the lower axis, in percent of the whole chart."""
    return f"{_PLOT_LEFT + _PLOT_WIDTH * (value - low) / (high - low):.2f}%"


def _curve(curve: Line, box: Sequence[float], label: str, markers: bool) -> Html:
    """The line, its markers, and what each of them says when pointed at."""
    x0, x1, y0, y1 = box
    style = curve.style % len(_MARKERS)
    corners = [(100 * (x - x0) / (x1 - x0), 100 * (y1 - y) / (y1 - y0)) for x, y in curve.points]
    shape = polyline(corners, f"s{style}")
    marked = [markup('<svg x="{}" y="{}" overflow="visible"><path class="marker s{}" d="{}"><title>{}</title></path>'
                     "</svg>", place(x, x0, x1), place(y, y1, y0), style, _MARKERS[style],
                     f"{curve.name}, step {x:,}: {label.format(y)}")
              for x, y in (curve.points if markers else curve.points[-1:])]
    return join([shape, *marked])


def polyline(percentages, style: str) -> Html:
    """A line through points of a plot, (x, y) in percent, y downwards."""
    path = " ".join(f"{x:.2f},{y:.2f}" for x, y in percentages)
    return markup('<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none" overflow="visible">'
                  '<polyline class="line {}" points="{}"/></svg>', style, path)


def _sample(style: int) -> Html:
    style %= len(_MARKERS)
    return markup('<path class="line s{}" d="M0,7h30"/><path class="marker s{}" d="{}" transform="translate(15,7)"/>',
                  style, style, _MARKERS[style])
