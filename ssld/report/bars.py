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
    high = max([row.value + row.error for row in rows] + [mark.value for mark in marks]) or 1
    top = 22 * len(marks)
    bottom = top + _ROW * len(rows)
    left = [_grid(high, 5, top, bottom + 6)]
    left += [_bar(row, top + _ROW * i, high, i == len(rows) - 1) for i, row in enumerate(rows)]
    left += [_mark(mark, 22 * i + 14, bottom + 6, high) for i, mark in enumerate(marks)]
    right = [markup('<text class="value" x="100%" y="{}" text-anchor="end">{}</text>'
                    '<text class="muted" x="100%" y="{}" text-anchor="end">{}</text>',
                    top + _ROW * i + 41, row.text, top + _ROW * i + 17, row.remark) for i, row in enumerate(rows)]
    body = markup('<svg x="1%" width="{}%" overflow="visible">{}</svg>{}', _NAMES, join(left), join(right))
    return Chart(body, bottom + 30, words)


def _grid(high: float, wanted: int, top: int, bottom: int) -> Html:
    """Upright lines from 0 to `high` at round numbers, which stand below them."""
    return join(markup('<line class="grid" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
                       '<text class="tick" x="{x}" y="{}" text-anchor="middle">{}</text>',
                       top, bottom, bottom + 16, f"{value:,.10g}", x=place(value, 0, high))
                for value in ticks(0, high, wanted) if value <= high)


def _bar(row: Bar, y: int, high: float, is_last: bool) -> Html:
    name = markup('<svg width="100%" height="{}"><text class="name" y="{}">{}</text></svg>', y + 24, y + 17, row.name)
    bar = markup('<rect class="bar{}" y="{}" width="{}" height="22" rx="2"><title>{}</title></rect>',
                 " strong" if is_last else "", y + 25, place(row.value, 0, high),
                 f"{row.name}: {row.text}, standard error {row.error:.2f}")
    ends = [place(max(value, 0), 0, high) for value in (row.value - row.error, row.value + row.error)]
    whisker = [(*ends, y + 36, y + 36), *((end, end, y + 31, y + 41) for end in ends)]
    lines = (markup('<line class="whisker" x1="{}" x2="{}" y1="{}" y2="{}"/>', *line) for line in whisker)
    return join([name, bar, *lines])


def _mark(mark: Mark, y: int, bottom: int, high: float) -> Html:
    anchor, shift = ("end", -7) if mark.value > high / 2 else ("start", 7)
    return markup('<line class="mark" x1="{x}" x2="{x}" y1="{}" y2="{}"/>'
                  '<text class="marked" x="{x}" dx="{}" y="{}" text-anchor="{}">{}</text>',
                  y - 12, bottom, shift, y, anchor, mark.name, x=place(mark.value, 0, high))


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
    total = sum(branch.count for branch in branches)
    breadths = [_THICK * branch.count / max(total, 1) for branch in branches]
    slots = [max(breadth + 14, _BRANCH) for breadth in breadths]
    height = round(sum(slots))
    start = left = (height - _THICK) / 2
    right, parts = 0.0, []
    for branch, breadth, slot in zip(branches, breadths, slots):
        top = right + (slot - breadth) / 2
        parts += [_ribbon(branch, breadth, left, top, height), _branch_end(branch, breadth, top, total)]
        left, right = left + breadth, right + slot
    head = markup('<text class="value" x="0" y="14">{} <tspan class="rest">{}</tspan></text>', f"{total:,}", whole)
    stem = markup('<rect class="end" x="0" y="{}" width="8" height="{}"/>', f"{start:.1f}", _THICK)
    body = markup('{}<svg y="26" overflow="visible">{}{}</svg>', head, stem, join(parts))
    return Chart(body, height + 30, words)


def _ribbon(branch: Branch, breadth: float, left: float, right: float, height: int) -> Html:
    """A band of equal breadth from the height `left` at the stem to the height `right` at its end, pixels."""
    path = (f"M0,{left:.1f}C50,{left:.1f} 50,{right:.1f} 100,{right:.1f}V{right + breadth:.1f}"
            f"C50,{right + breadth:.1f} 50,{left + breadth:.1f} 0,{left + breadth:.1f}z")
    return markup('<svg x="8" width="34%" height="{h}" viewBox="0 0 100 {h}" preserveAspectRatio="none" '
                  'overflow="visible"><path class="ribbon{}" d="{}"><title>{}: {}</title></path></svg>',
                  " strong" if branch.is_kept else "", path, branch.name, f"{branch.count:,}", h=height)


def _branch_end(branch: Branch, breadth: float, top: float, total: int) -> Html:
    strong, middle = " strong" if branch.is_kept else "", top + breadth / 2
    share = f"{100 * branch.count / max(total, 1):.1f} %"
    block = markup('<rect class="end{}" x="8" y="{}" width="5" height="{}"/>', strong, f"{top:.1f}",
                   f"{max(breadth, 1):.1f}")
    texts = markup('<text class="value" x="24" y="{}">{} <tspan class="rest">{}</tspan></text>'
                   '<text class="muted" x="24" y="{}">{}, {}</text>',
                   f"{middle - 2:.1f}", f"{branch.count:,}", branch.name, f"{middle + 15:.1f}", share, branch.text)
    return markup('<svg x="34%" overflow="visible">{}{}</svg>', block, texts)


class ClassCounts(NamedTuple):
    """Images of a class: labelled, available in the pool, selected, and in another selection if there is one."""

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
    high = max([1, *(max(row.labelled, row.available, row.selected, row.other or 0) for row in rows)])
    bottom = _CLASS_ROW * len(rows)
    names = join(markup('<text x="0" y="{}">{}<title>{}</title></text>', _CLASS_ROW * i + 19, row.name, row.name)
                 for i, row in enumerate(rows))
    drawn = join(_class_row(row, _CLASS_ROW * i, high) for i, row in enumerate(rows))
    sums = join(markup('<text class="tick" x="100%" y="{}" text-anchor="end">{} of {}</text>',
                       _CLASS_ROW * i + 19, f"{row.selected:,}", f"{row.available:,}") for i, row in enumerate(rows))
    legend = [(Html('<rect class="wide" x="2" width="26" height="14"/>'), "available: teacher’s first choice"),
              (Html('<rect class="narrow" x="2" y="3" width="26" height="8"/>'), "selected"),
              (Html('<rect class="tag" x="13" width="3" height="14"/>'), "labelled to begin with")]
    if other_name:
        legend.append((Html('<circle class="ring" cx="15" cy="7" r="5"/>'), other_name))
    body = markup('<svg width="23%" height="{}">{}</svg><svg x="25%" width="57%" overflow="visible">{}{}</svg>{}',
                  bottom, names, _grid(high, 4, 0, bottom + 4), drawn, sums)
    return Chart(body, bottom + 28, words, tuple(legend))


def _class_row(row: ClassCounts, y: int, high: float) -> Html:
    boxes = ("wide", row.available, 4, 20), ("narrow", row.selected, 10, 8)
    counts = (markup('<rect class="{}" y="{}" width="{}" height="{}"/>', kind, y + top, place(value, 0, high), breadth)
              for kind, value, top, breadth in boxes)
    tag = markup('<svg x="{}" overflow="visible"><rect class="tag" x="-1.5" y="{}" width="3" height="20"/></svg>',
                 place(row.labelled, 0, high), y + 4)
    ring = Html("")
    if row.other is not None:
        ring = markup('<circle class="ring" cx="{}" cy="{}" r="5"/>', place(row.other, 0, high), y + 14)
    words = f"{row.name}: {row.available:,} available, {row.selected:,} selected, {row.labelled:,} labelled"
    return markup("<g><title>{}</title>{}{}{}</g>", words, join(counts), tag, ring)
