"""Bars that lie: the ladder of accuracies, the flow of a pool, the counts of every class."""
from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .charts import Chart, place, ticks
from .markup import Html, join, markup

_NAMES, _ROW = 78, 58           # percent of the width for names and bars; pixels of a row of the ladder
_THICK = 200                    # pixels of the whole pool in the flow
_BRANCH = 50                    # least pixels of a branch
_CLASS_ROW = 30


class Bar(NamedTuple):
    """A row of the ladder: `value` and its `error` on the scale, and two texts at its right."""

    name: str
    value: float
    error: float
    text: str
    remark: str = ""


class Mark(NamedTuple):
    """A dashed line across all bars."""

    name: str
    value: float


def bars(rows: Sequence[Bar], marks: Sequence[Mark], words: str) -> Chart:
    """Bars from zero with whiskers of one standard error; the last one stands out.

    Args:
        rows: from first to last.
        marks: values to compare with.
        words: what the chart shows.
    """
    scale = ticks(0, max([row.value + row.error for row in rows] + [mark.value for mark in marks]), 5)
    top = 22 * len(marks)
    bottom = top + _ROW * len(rows)
    grid = join(markup('<line class="grid" x1="{x}" x2="{x}" y1="{}" y2="{}"/><text class="tick" x="{x}" y="{}" '
                       'text-anchor="middle">{}</text>', top, bottom + 6, bottom + 22, f"{value:g}",
                       x=place(value, 0, scale[-1])) for value in scale)
    drawn = join(_bar(row, top + _ROW * i, scale[-1], i == len(rows) - 1) for i, row in enumerate(rows))
    lines = join(_mark(mark, 22 * i + 14, bottom + 6, scale[-1]) for i, mark in enumerate(marks))
    texts = join(markup('<text class="value" x="100%" y="{}" text-anchor="end">{}</text><text class="muted" x="100%" y="{}" '
                        'text-anchor="end">{}</text>', top + _ROW * i + 41, row.text, top + _ROW * i + 17, row.remark)
                 for i, row in enumerate(rows))
    return Chart(join([markup('<svg x="1%" width="{}%" overflow="visible">{}{}{}</svg>', _NAMES, grid, drawn, lines), texts]),
                 bottom + 30, words)


def _bar(row: Bar, y: int, high: float, is_last: bool) -> Html:
    words = f"{row.name}: {row.text}, standard error {row.error:.2f}"
    return markup(
        '<svg width="100%" height="{}"><text class="name" y="{}">{}</text></svg>'
        '<rect class="bar{}" y="{}" width="{}" height="22" rx="2"><title>{}</title></rect>'
        '<path class="whisker" d=""/><line class="whisker" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>'
        '<line class="whisker" x1="{left}" x2="{left}" y1="{upper}" y2="{lower}"/>'
        '<line class="whisker" x1="{right}" x2="{right}" y1="{upper}" y2="{lower}"/>',
        y + 24, y + 17, row.name, Html(" strong" if is_last else ""), y + 25, place(row.value, 0, high), words,
        left=place(max(row.value - row.error, 0), 0, high), right=place(row.value + row.error, 0, high), middle=y + 36,
        upper=y + 31, lower=y + 41)


def _mark(mark: Mark, y: int, bottom: int, high: float) -> Html:
    at_right = mark.value > high / 2
    return markup('<line class="mark" x1="{x}" x2="{x}" y1="{}" y2="{}"/><text class="marked" x="{x}" dx="{}" y="{}" '
                  'text-anchor="{}">{}</text>', y - 12, bottom, -7 if at_right else 7, y, "end" if at_right else "start",
                  mark.name, x=place(mark.value, 0, high))


class Branch(NamedTuple):
    """A part of the pool: what it is, how many, and why."""

    name: str
    count: int
    text: str
    is_kept: bool = False


def flow(whole: str, branches: Sequence[Branch], words: str) -> Chart:
    """One stream that parts into branches as broad as their counts.

    Args:
        whole: name of the stream.
        branches: from top to bottom; their counts are the whole.
        words: what the chart shows.
    """
    total = sum(branch.count for branch in branches) or 1
    parts, left, right = [], 0.0, 0.0
    breadths = [_THICK * branch.count / total for branch in branches]
    height = sum(max(breadth + 14, _BRANCH) for breadth in breadths)
    left = (height - _THICK) / 2
    parts.append(markup('<rect class="end" x="0" y="{}" width="8" height="{}"/><text class="value" x="0" y="{}">{}</text>'
                        '<text class="muted" x="0" y="{}">{}</text>', 36 + left, _THICK, 10 + left, f"{total:,}", 26 + left, whole))
    for branch, breadth in zip(branches, breadths):
        slot = max(breadth + 14, _BRANCH)
        parts.append(_branch(branch, breadth, left, right + (slot - breadth) / 2, right + slot / 2, height, total))
        left, right = left + breadth, right + slot
    return Chart(join([*parts[:1], markup('<svg y="36" overflow="visible">{}</svg>', join(parts[1:]))]), round(height) + 40, words)


def _branch(branch: Branch, breadth: float, left: float, right: float, middle: float, height: float, total: int) -> Html:
    strong = Html(" strong" if branch.is_kept else "")
    path = (f"M0,{left:.1f}C50,{left:.1f} 50,{right:.1f} 100,{right:.1f}V{right + breadth:.1f}"
            f"C50,{right + breadth:.1f} 50,{left + breadth:.1f} 0,{left + breadth:.1f}z")
    return markup(
        '<svg x="8" width="38%" height="{height}" viewBox="0 0 100 {height}" preserveAspectRatio="none" overflow="visible">'
        '<path class="ribbon{}" d="{}"><title>{}: {}</title></path></svg>'
        '<svg x="38%" overflow="visible"><rect class="end{}" x="8" y="{}" width="5" height="{}"/>'
        '<text class="value" x="24" y="{}">{} <tspan class="share" font-weight="400">{}</tspan></text>'
        '<text class="muted" x="24" y="{}">{}</text></svg>',
        strong, path, branch.name, f"{branch.count:,}", strong, f"{right:.1f}", f"{max(breadth, 1):.1f}", f"{middle - 2:.1f}",
        f"{branch.count:,}", f"{branch.name}, {100 * branch.count / total:.1f} %", f"{middle + 15:.1f}", branch.text,
        height=f"{height:.0f}")


class ClassCounts(NamedTuple):
    """Images of one class: labelled, available in the pool, selected, and in another selection (None: there is none)."""

    name: str
    labelled: int
    available: int
    selected: int
    other: int | None = None


def class_bars(rows: Sequence[ClassCounts], words: str, other_name: str = "") -> Chart:
    """A row per class: available as a wide pale bar, selected as a narrow dark one in it, labelled as a tick.

    Args:
        rows: from top to bottom.
        words: what the chart shows.
        other_name: what the ring stands for.
    """
    scale = ticks(0, max([1, *(max(row.labelled, row.available, row.selected, row.other or 0) for row in rows)]), 4)
    bottom = _CLASS_ROW * len(rows)
    grid = join(markup('<line class="grid" x1="{x}" x2="{x}" y1="0" y2="{}"/><text class="tick" x="{x}" y="{}" '
                       'text-anchor="middle">{}</text>', bottom + 4, bottom + 20, f"{value:,g}", x=place(value, 0, scale[-1]))
                for value in scale)
    drawn = join(_class_row(row, _CLASS_ROW * i, scale[-1]) for i, row in enumerate(rows))
    names = join(markup('<text x="0" y="{}">{}<title>{}</title></text>', _CLASS_ROW * i + 19, row.name, row.name)
                 for i, row in enumerate(rows))
    legend = [(Html('<rect class="wide" x="2" width="26" height="14"/>'), "available: the teacher's first choice in the pool"),
              (Html('<rect class="narrow" x="2" y="3" width="26" height="8"/>'), "selected"),
              (Html('<rect class="tag" x="13" width="3" height="14"/>'), "labelled to begin with")]
    if other_name:
        legend.append((Html('<circle class="ring" cx="15" cy="7" r="5"/>'), other_name))
    return Chart(markup('<svg width="29%" height="{}">{}</svg><svg x="31%" width="64%" overflow="visible">{}{}</svg>', bottom,
                        names, grid, drawn), bottom + 28, words, tuple(legend))


def _class_row(row: ClassCounts, y: int, high: float) -> Html:
    other = Html("") if row.other is None else markup('<circle class="ring" cx="{}" cy="{}" r="5"/>', place(row.other, 0, high),
                                                      y + 14)
    words = f"{row.name}: {row.available:,} available, {row.selected:,} selected, {row.labelled:,} labelled"
    return markup('<g><title>{}</title><rect class="wide" y="{}" width="{}" height="20"/><rect class="narrow" y="{}" width="{}" '
                  'height="8"/><svg x="{}" overflow="visible"><rect class="tag" x="-1.5" y="{}" width="3" height="20"/></svg>{}'
                  "</g>", words, y + 4, place(row.available, 0, high), y + 10, place(row.selected, 0, high),
                  place(row.labelled, 0, high), y + 4, other)
