"""Histograms of a few populations over each other, as a picture without any plotting library."""
from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np

_WIDTH, _HEIGHT = 720, 300
_LEFT, _TOP, _RIGHT, _BOTTOM = 20, 56, 20, 56
_LINE = 15                      # pixels of a line of text below the axis
_BINS = 60
_TICKS = 6
_COLOURS = ("#2a78c8", "#e07b28", "#3c9a5f", "#8a5bb5")


def histogram_svg(populations: Mapping[str, np.ndarray], marks: Mapping[str, float], title: str) -> str:
    """An SVG document: the share of each population per bin, each drawn to its own highest bin.

    Args:
        populations: name -> values [n].
        marks: name -> value, drawn as upright lines; up to two.
        title: in one line.
    """
    values = np.concatenate([*populations.values(), np.array(list(marks.values()), float)])
    low, high = float(values.min()), float(values.max())
    high = high if high > low else low + 1
    parts = [_text(_LEFT, 18, title, 14)]
    for place, ((name, column), colour) in enumerate(zip(populations.items(), _COLOURS)):
        parts.append(_text(_LEFT + place * 170, 38, f"{name}: {len(column)}", 12, colour))
        parts.append(_bars(column, low, high, colour))
    parts += [_text(_x(value, low, high), _HEIGHT - _BOTTOM + _LINE, f"{value:.2f}", 11, anchor="middle")
              for value in np.linspace(low, high, _TICKS)]
    for place, (name, value) in enumerate(marks.items()):
        x = _x(value, low, high)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 12}" y2="{_HEIGHT - _BOTTOM}" stroke="#222" '
                     'stroke-dasharray="4 3"/>')
        parts.append(_text(x, _HEIGHT - _BOTTOM + (place + 2) * _LINE, f"{name} {value:.4f}", 11,
                           anchor="start" if x < _WIDTH / 2 else "end"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
            'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n")


def _bars(column: np.ndarray, low: float, high: float, colour: str) -> str:
    """One path of all bars; the highest fills the height."""
    counts, edges = np.histogram(column, _BINS, (low, high))
    tops = counts / max(counts.max(), 1) * (_HEIGHT - _TOP - _BOTTOM)
    left, width = _x(edges[:-1], low, high), (_WIDTH - _LEFT - _RIGHT) / _BINS
    bars = "".join(f"M{x:.1f} {_HEIGHT - _BOTTOM}v{-top:.1f}h{width:.1f}v{top:.1f}z" for x, top in zip(left, tops) if top > 0)
    return f'<path d="{bars}" fill="{colour}" fill-opacity="0.55"/>'


def _x(value, low: float, high: float):
    return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)


def _text(x: float, y: float, text: str, size: int, colour: str = "#222", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-size="{size}" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'
