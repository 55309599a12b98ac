"""What curation did with the pool: the flow of its lines, the copies it removed, and those it nearly removed."""
from __future__ import annotations

from dedup import Match

from ..bars import Branch, flow
from ..charts import Chart, inline
from ..comparison import Comparison, closest_kept, uncertain_removals
from ..expansion import Account, Expansion, account
from ..markup import Html, figure, join, markup, number, paragraph, table
from ..pictures import HOW_TO_READ, pair, thumbnail
from ..truth import COPY, UNKNOWN, Judgement, Known, Mistake, Tally, judge
from .removal import numbers, reasons, skipped

UNREADABLE = 20                                 # listed
_REMOVED, _CLOSE, _MISTAKES = 12, 4, 15         # pairs that are shown
_FATES = {"selected": "join the training list", "not selected": "scored, not chosen",
          "duplicate": "copy an evaluation image", "pool-duplicate": "show what another pool image shows",
          "removed by hand": "a person decided so", "labelled": "labelled images already",
          "unreadable": "hold no picture", "repeated": "the path came before"}


def section(expansion: Expansion, truth: dict[str, Known] | None) -> Html:
    """Everything between the pool list and the scored pool."""
    told = account(expansion, UNREADABLE)
    parts = [flow_figure(expansion, told), reasons(expansion.comparison), _removed(expansion.comparison),
             _close(expansion.comparison), skipped(told.unreadable)]
    if truth is not None:
        parts.append(_against_truth(expansion, judge(expansion, truth)))
    return join(parts)


def flow_chart(told: Account) -> Chart:
    """The pool's lines and what became of them."""
    branches = [Branch(fate, told.counts.get(fate, 0), text, fate == "selected") for fate, text in _FATES.items()]
    shown = [branch for branch in branches if branch.count or branch.name in ("selected", "duplicate")]
    words = "Pool lines: " + ", ".join(f"{branch.count:,} {branch.name}" for branch in branches)
    return flow("lines in the pool", shown, words)


def flow_figure(expansion: Expansion, told: Account) -> Html:
    """The chart with the sum in words."""
    total = " + ".join(f"{n:,} {fate}" for fate, n in told.counts.items() if n)
    train = expansion.report["train_list"]
    caption = markup("{} = {} lines. The training list holds {} labelled and {} selected images, {} in all.", total,
                     number(sum(told.counts.values())), number(train["images"] - train["selected"]),
                     number(train["selected"]), number(train["images"]))
    return figure(inline(flow_chart(told)), caption)


def _removed(comparison: Comparison) -> Html:
    shown = uncertain_removals(comparison, _REMOVED)
    if not shown:
        return Html("")
    rest = comparison.manifest["counts"]["removed"] - len(shown)
    text = paragraph("{} The {} least certain come first{}.", HOW_TO_READ, len(shown),
                     f"; {number(rest)} more are in removed.tsv, and on the page that ssld review makes" if rest > 0 else "")
    return join([Html("<h3>Removed, least certain first</h3>"), text, _pairs(shown, comparison, "pairs")])


def _close(comparison: Comparison) -> Html:
    shown = closest_kept(comparison, _CLOSE)
    if not shown:
        return Html("")
    options = comparison.options
    text = paragraph("The nearest to being removed: a copy needs {} inliers and an agreement of {}.",
                     options.min_inliers, options.min_agreement)
    return join([Html("<h3>Kept by a narrow margin</h3>"), text, _pairs(shown, comparison, "two")])


def _pairs(matches: list[Match], comparison: Comparison, columns: str) -> Html:
    figures = join(figure(pair(match, comparison), numbers(match), "pair") for match in matches)
    return markup('<div class="grid {}">{}</div>', columns, figures)


def _against_truth(expansion: Expansion, judged: Judgement) -> Html:
    """Tables and thumbnails that compare the removal with what is known of every pool image."""
    found, planted = judged.copies.found, judged.copies.planted
    ordinary = sum(n for (kind, _), n in judged.fates.items() if kind not in (COPY, UNKNOWN))
    text = paragraph("For this pool it is known what every file is. <strong>{} of {}</strong> planted copies were "
                     "removed, {} of them with the right evaluation image named; <strong>{}</strong> of {} other files "
                     "were removed by mistake.",
                     number(found), number(planted), number(judged.right_source), number(len(judged.false_removals)),
                     number(ordinary))
    rows = [(name, number(t.planted), number(t.found), _recall(t)) for name, t in judged.edits.items()]
    rows.append((Html("all copies"), number(planted), number(found), _recall(judged.copies)))
    recall = table(("edit", "planted", "removed", "recall"), rows,
                   "Recall of planted copies per kind of edit; a copy with several edits counts in each")
    return join([Html("<h3>Against the truth</h3>"), text, _kinds(judged), recall,
                 _mistakes("Copies that were missed", "The copy left, its evaluation image right; below, its edits and "
                           "its fate.", judged.missed, expansion),
                 _mistakes("Removed by mistake", "The pool image left, and right the evaluation image it was taken "
                           "for; below, its kind and the reason.", judged.false_removals, expansion)])


def _kinds(judged: Judgement) -> Html:
    """Kind by fate."""
    fates = [fate for fate in _FATES if any(f == fate for _, f in judged.fates)]
    kinds = sorted({kind for kind, _ in judged.fates})
    rows = [(kind, *(number(judged.fates[kind, fate]) for fate in fates)) for kind in kinds]
    return table(("kind", *fates), rows, "What the pool holds, and what became of it")


def _mistakes(title: str, text: str, mistakes: list[Mistake], expansion: Expansion) -> Html:
    """Pairs of thumbnails."""
    if not mistakes:
        return Html("")
    roots = expansion.comparison.roots
    tiles = join(figure(join([thumbnail(m.path, roots.pool, f"pool image {m.path}"),
                              thumbnail(m.reference, roots.evaluation, f"evaluation image {m.reference}")]),
                        markup("<strong>{}</strong><span>{}</span>", m.what, m.outcome), "tile two-up")
                 for m in mistakes[:_MISTAKES])
    more = f" ({_MISTAKES} of {len(mistakes):,} are shown)" if len(mistakes) > _MISTAKES else ""
    return markup('<h4>{}{}</h4>{}<div class="tiles">{}</div>', title, more, paragraph(text), tiles)


def _recall(tally: Tally) -> Html | str:
    """The share that was found, as a number with a bar below it."""
    if not tally.planted:
        return "–"
    share = f"{100 * tally.found / tally.planted:.1f}"
    return markup('{} %<span class="meter" aria-hidden="true"><span style="width:{}%"></span></span>', share, share)
