"""How strong the evidence for removed pairs was, and for those that were nearly removed, as histograms."""
from __future__ import annotations

from collections.abc import Iterable

from dedup import Match, Options

from .charts import Chart
from .comparison import Comparison, close, removed
from .histograms import Counts, stacked_histograms

_BINS = 40
_INLIERS = 40                   # one fewer and all above share the last bin
_HIGHEST = {"inliers": _INLIERS, "agreement": 1.0, "cosine": 1.0}


def evidence_charts(comparison: Comparison) -> dict[str, Chart]:
    """Name of a number -> how often its values occur; only numbers that some pair has."""
    found = {"removed": tally(removed(comparison)), "kept by a narrow margin": tally(close(comparison))}
    charts = {}
    for name, high in _HIGHEST.items():
        edges = [bin * high / _BINS for bin in range(_BINS + 1)]
        series = [Counts(f"{kind}: {sum(bins[name]):,}", bins[name]) for kind, bins in found.items() if any(bins[name])]
        if series:
            marks = [(words, value) for words, value in _thresholds(comparison.options)[name] if value is not None]
            charts[name] = stacked_histograms(edges, series, marks, f"Histogram of {name}")
    return charts


def tally(matches: Iterable[Match]) -> dict[str, list[int]]:
    """Counts per bin; inliers and agreement only where geometry found any, the cosine only where one was computed."""
    bins = {name: [0] * _BINS for name in _HIGHEST}
    for match in matches:
        values = {"inliers": match.inliers, "agreement": match.agreement} if match.inliers else {}
        if match.cosine is not None:
            values["cosine"] = match.cosine
        for name, value in values.items():
            bins[name][min(max(int(value / _HIGHEST[name] * _BINS + 1e-9), 0), _BINS - 1)] += 1
    return bins


def _thresholds(options: Options) -> dict[str, list]:
    """(name, value) of the lines to draw."""
    return {"inliers": [("least of a copy", options.min_inliers)], "agreement": [("least of a copy", options.min_agreement)],
            "cosine": [("verified from", options.t_cand), ("enough alone from", options.t_auto)]}
