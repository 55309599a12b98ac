"""What the comparison of a pool with evaluation images took out, and on what evidence."""
from __future__ import annotations

from dedup import Match

from ..charts import inline
from ..comparison import Comparison, Unreadable
from ..evidence import evidence_charts
from ..markup import Html, count, duration, figure, folded, join, markup, number, paragraph, table

_REASONS = {"sha256": "have the same bytes", "hash": "are alike as a whole (perceptual hash)",
            "sift": "share key points (SIFT)", "feature": "are alike to a network (embedding)",
            "pool-duplicate": "show what another pool image shows",
            "listed": "have the bytes of an image that is in use already", "override": "were judged by a person"}
_COMPARED = ("sha256", "hash", "sift", "feature")               # reasons that name an evaluation image
_LATER = {"listed": "in use already", "pool-duplicate": "compared with each other", "override": "decided by a person"}
_SOURCES = {"sha256": "equal bytes", "hash": "perceptual hash", "sift": "key points (SIFT)", "feature": "features of a network"}


def section(comparison: Comparison, told: Unreadable, later: list[tuple]) -> Html:
    """Totals per reason and stage, the evidence, and what could not be read.

    Args:
        comparison: a finished one.
        told: its unreadable pictures.
        later: rows of `stages` for what came after the comparison.
    """
    return join([reasons(comparison), stages(comparison, later), _speed(comparison), _sources(comparison),
                 _evidence(comparison), skipped(told)])


def reasons(comparison: Comparison) -> Html:
    """A table of why pictures were removed, the most frequent reason first."""
    found = {reason: n for reason, n in comparison.manifest["counts"]["removed_by_reason"].items() if n}
    rows = [(reason, _REASONS.get(reason, ""), number(n)) for reason, n in sorted(found.items(), key=lambda f: (-f[1], f[0]))]
    if not rows:
        return paragraph("No pool image was found to copy an evaluation image.")
    return table(("reason", "because the pictures", "removed"), rows, "Removed, by reason", text_columns=2)


def stages(comparison: Comparison, later: list[tuple]) -> Html:
    """A table of what went into each step, what it took out, and what was left.

    Args:
        comparison: a finished one.
        later: (stage, taken out, unreadable) of the steps that came after the comparison.
    """
    counts = comparison.manifest["counts"]
    by_reason = counts["removed_by_reason"]
    steps = [("compared with the evaluation images", sum(by_reason.get(reason, 0) for reason in _COMPARED), counts["errors"])]
    steps += [(name, by_reason[reason], 0) for reason, name in _LATER.items() if by_reason.get(reason)]
    left, rows = counts["in"], []
    for name, out, failed in [*steps, *later]:
        rows.append((name, number(left), number(out), number(failed), number(left - out - failed)))
        left -= out + failed
    repeated = comparison.manifest["pool"]["repeated"]
    note = f"; {count(repeated, 'line')} that repeated a path left out" if repeated else ""
    return table(("stage", "in", "taken out", "unreadable", "left"), rows, f"Pool images per stage{note}")


def numbers(match: Match) -> Html:
    """Reason, numbers and paths of a pair."""
    said = [match.reason]
    if match.inliers:
        said += [count(match.inliers, "inlier"), f"agreement {match.agreement:.2f}"]
    if match.hash_distance is not None:
        said.append(f"{match.hash_distance} of 256 hash bits differ")
    if match.cosine is not None:
        said.append(f"cosine {match.cosine:.2f}")
    said += ["mirrored"] * match.mirrored
    return markup('<strong>{}</strong><span class="path">{}</span><span class="path">{}</span>', " · ".join(said),
                  match.query, match.reference)


def skipped(told: Unreadable) -> Html:
    """What could not be read: how many per class of error, and the first of them."""
    total = sum(told.by_class.values())
    if not total:
        return Html("")
    classes = ", ".join(f"{n:,} {kind}" for kind, n in sorted(told.by_class.items(), key=lambda c: (-c[1], c[0])))
    rest = total - len(told.first)
    rows = [(markup('<span class="path">{}</span>', path), reason) for path, reason in told.first]
    caption = f"By class: {classes}" + (f"; {rest:,} more are in {told.table}" if rest else "")
    return folded(f"{count(total, 'file')} skipped as unreadable, and why",
                  table(("file", "reason"), rows, caption, text_columns=2), is_open=total <= 10)


def _speed(comparison: Comparison) -> Html:
    took = comparison.manifest["duration"]
    if took["images_per_s"] is None:
        return paragraph("Nothing was compared again: the results were there.")
    return paragraph("The comparison took {} with {} on {}: {} images per hour.", duration(took["seconds"]),
                     count(took["workers"], "worker"), count(took["hosts"], "machine"),
                     number(round(3600 * took["images_per_s"])))


def _sources(comparison: Comparison) -> Html:
    active, inside = comparison.manifest["candidates_from"], comparison.manifest.get("within_pool")
    idle = [words for name, words in _SOURCES.items() if name not in active]
    said = paragraph("Pairs were proposed by {}{}.", _named(active), f"; not by {', '.join(idle)}" if idle else "")
    if inside is None:
        return said
    return join([said, paragraph("Pairs inside the pool were proposed by {}.", _named(inside["candidates_from"]))])


def _named(sources: list[str]) -> str:
    return ", ".join(_SOURCES.get(name, name) for name in sources)


def _evidence(comparison: Comparison) -> Html:
    charts = evidence_charts(comparison)
    if not charts:
        return Html("")
    text = {"inliers": "Key points that agree on one map; 39 and more share the last bar.",
            "agreement": "Share of the overlap in which the pixels agree.", "cosine": "Similarity to a network."}
    figures = join(figure(join([markup("<h3>{}</h3>", name.capitalize()), inline(chart)]), text[name])
                   for name, chart in charts.items())
    return join([Html("<h3>How strong the evidence is</h3>"),
                 paragraph("Pairs whose geometry was checked; the axis of counts is logarithmic."),
                 markup('<div class="grid two">{}</div>', figures)])
