"""A ladder as a picture: one row per stage, a dot per seed, a line at their mean."""
from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import mean

_WIDTH, _NAMES, _ROW, _TOP, _BOTTOM, _RIGHT = 860, 330, 26, 44, 30, 60
_INK, _FAINT, _DOT = "#1f2933", "#d5dbe1", "#2f6fb0"


def draw_ladder(title: str, rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """An SVG picture that needs no style sheet.

    Args:
        title: stands above it.
        rows: name and accuracies in percent, one per seed, from top to bottom.
    """
    values = [value for _, row in rows for value in row]
    low, high = (math.floor(min(values)), math.ceil(max(values))) if values else (0, 1)
    low, high = low - 1, max(high + 1, low + 4)
    height = _TOP + _ROW * len(rows) + _BOTTOM

    def x(value: float) -> float:
        return _NAMES + (value - low) / (high - low) * (_WIDTH - _NAMES - _RIGHT)

    parts = [_text(12, 24, title, size=15, weight="bold")]
    step = next(s for s in (1, 2, 5, 10, 20) if (high - low) / s <= 8)
    for tick in range(-(-low // step) * step, high + 1, step):
        parts.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP - 6}" y2="{height - _BOTTOM}" stroke="{_FAINT}"/>')
        parts.append(_text(x(tick), height - 10, f"{tick} %", anchor="middle", size=11))
    for place, (name, row) in enumerate(rows):
        parts += _row(name, row, _TOP + _ROW * place + _ROW / 2, x)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
            f'font-family="sans-serif"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n')


def _row(name: str, row: Sequence[float], y: float, x) -> list[str]:
    middle = mean(row)
    dots = [f'<circle cx="{x(value):.1f}" cy="{y}" r="4" fill="{_DOT}" fill-opacity="0.6"/>' for value in row]
    return [_text(_NAMES - 14, y + 4, name, anchor="end"), *dots,
            f'<line x1="{x(middle):.1f}" x2="{x(middle):.1f}" y1="{y - 9}" y2="{y + 9}" stroke="{_INK}" stroke-width="2"/>',
            _text(_WIDTH - 12, y + 4, f"{middle:.1f}", anchor="end", weight="bold")]


def _text(x: float, y: float, words: str, anchor: str = "start", size: int = 13, weight: str = "normal") -> str:
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{_INK}">{escape(words)}</text>')
