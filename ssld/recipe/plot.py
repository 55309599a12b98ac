"""Accuracies as a picture: one row per stage or method, a dot per seed, a line at their mean; one panel or several."""
from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import mean
from typing import NamedTuple

_NAMES, _PANEL, _MEAN, _ROW, _TOP, _HEADING, _BOTTOM = 330, 470, 60, 26, 44, 24, 30
_LEAST_PANEL, _LETTER = 300, 7
_INK, _FAINT, _DOT = "#1f2933", "#d5dbe1", "#2f6fb0"


class _Panel(NamedTuple):
    """A place for dots: its edges in the picture, and the values that stand there."""

    left: float
    right: float
    low: int
    high: int

    def x(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def draw_rows(title: str, names: Sequence[str], panels: Sequence[tuple[str, Sequence[Sequence[float]]]]) -> str:
    """An SVG picture that needs no style sheet.

    Args:
        title: stands above it.
        names: of the rows, from top to bottom.
        panels: heading ("" for none) and accuracies in percent, one list of seeds for each row; an empty list leaves the row
            empty. Each panel has a scale of its own.
    """
    top = _TOP + (_HEADING if any(heading for heading, _ in panels) else 0)
    wide = _PANEL if len(panels) == 1 else max(_LEAST_PANEL, _PANEL * 3 // 4)
    names_end = max(_NAMES, 26 + _LETTER * max(map(len, names)))
    width, height = names_end + len(panels) * (wide + _MEAN), top + _ROW * len(names) + _BOTTOM
    parts = [_text(12, 24, title, size=15, weight="bold")]
    parts += [_text(names_end - 14, _middle(top, place) + 4, name, anchor="end") for place, name in enumerate(names)]
    for place, (heading, rows) in enumerate(panels):
        left = names_end + place * (wide + _MEAN)
        panel = _Panel(left, left + wide, *_scale([value for row in rows for value in row]))
        parts += [_text(left, top - 14, heading, weight="bold")] if heading else []
        parts += _axis(panel, top, height)
        parts += [part for number, row in enumerate(rows) if row for part in _row(row, _middle(top, number), panel)]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')


def _middle(top: float, row: int) -> float:
    return top + _ROW * row + _ROW / 2


def _scale(values: Sequence[float]) -> tuple[int, int]:
    """Least and largest value of a panel."""
    low, high = (math.floor(min(values)), math.ceil(max(values))) if values else (0, 1)
    return low - 1, max(high + 1, low + 4)


def _axis(panel: _Panel, top: float, height: float) -> list[str]:
    """Lines at round values, and what they stand for."""
    parts, step = [], next(s for s in (1, 2, 5, 10, 20) if (panel.high - panel.low) / s <= 8)
    for tick in range(-(-panel.low // step) * step, panel.high + 1, step):
        x = panel.x(tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{height - _BOTTOM}" stroke="{_FAINT}"/>')
        parts.append(_text(x, height - 10, f"{tick} %", anchor="middle", size=11))
    return parts


def _row(row: Sequence[float], y: float, panel: _Panel) -> list[str]:
    x = panel.x(mean(row))
    dots = [f'<circle cx="{panel.x(value):.1f}" cy="{y}" r="4" fill="{_DOT}" fill-opacity="0.6"/>' for value in row]
    return [*dots, f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y - 9}" y2="{y + 9}" stroke="{_INK}" stroke-width="2"/>',
            _text(panel.right + _MEAN - 12, y + 4, f"{mean(row):.1f}", anchor="end", weight="bold")]


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{_INK}">{escape(words)}</text>')
