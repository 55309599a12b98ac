"""What was selected: counts per class, scores, and the best and the last picture of every class."""
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ...errors import InputError
from ..bars import ClassCounts, class_bars
from ..charts import Chart, inline
from ..expansion import ClassPicks, Expansion, Pick, picks_per_class, selection
from ..histograms import histogram
from ..markup import Html, figure, join, markup, number, paragraph, table
from ..pictures import thumbnail
from ..truth import COPY, FOREIGN, Known, judge_selection

_CLASSES = 40                   # shown at most
_PICTURES = 4                   # best and last ones per class


class Compared(NamedTuple):
    """What the section is about: one expansion, perhaps a second one, class names, perhaps the truth on the pool."""

    expansion: Expansion
    random: Expansion | None
    names: list[str]
    truth: dict[str, Known] | None

    def name(self, label: int) -> str:
        """The name of a class, or its number."""
        return self.names[label] if label < len(self.names) else f"class {label}"


def read_names(file: str | None) -> list[str]:
    """The names of the classes, one per line of a file; none without a file.

    Raises:
        InputError: the file cannot be read.
    """
    if file is None:
        return []
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names in {file} cannot be read: {error}. Give one class name per line.") from error


def section(compared: Compared) -> Html:
    """Charts, the comparison with another selection, and contact sheets."""
    charts = selection_charts(compared)
    shown, total = shown_classes(compared.expansion), len(compared.expansion.report["classes"]["selected"])
    part = f"The {len(shown)} of {total:,} classes with the fewest selected images. " if len(shown) < total else ""
    return join([figure(inline(charts["Images per class"]), markup("{}{}", part, _scarce(compared))),
                 figure(inline(charts["Scores"]), "The teacher’s probability of the class, in bins of equal width."),
                 _comparison(compared), _overlap(compared), _sheets(compared, shown)])


def _scarce(compared: Compared) -> str:
    """Which classes got nothing, and which gave all they had."""
    classes = compared.expansion.report["classes"]
    total, without, gave_all = len(classes["selected"]), classes["without_any"], classes["gave_all"]
    said = f"{len(without):,} of {total:,} classes got no image: {_named(compared, without)}." if without else (
        "Every class got images.")
    return said + (f" {len(gave_all):,} gave all they had: {_named(compared, gave_all)}." if gave_all else "")


def _named(compared: Compared, labels: list[int]) -> str:
    return ", ".join(map(compared.name, labels[:10])) + (" ..." if len(labels) > 10 else "")


def _overlap(compared: Compared) -> Html:
    """The classes that the teacher confuses, where it told more than one class per image."""
    pairs = compared.expansion.report["overlap"]
    rows = [(compared.name(best), compared.name(second), number(images)) for best, second, images in pairs]
    return table(("best class", "second best", "images"), rows, "Classes between which the teacher hesitates most often",
                 text_columns=2) if rows else Html("")


def selection_charts(compared: Compared) -> dict[str, Chart]:
    """Title -> chart."""
    report, other = compared.expansion.report, compared.random and compared.random.report
    classes, scores = report["classes"], report["score_histogram"]
    rows = [ClassCounts(compared.name(label), *(classes[kind][label] for kind in ("labelled", "available", "selected")),
                        other["classes"]["selected"][label] if other else None)
            for label in shown_classes(compared.expansion)]
    stepped = other["score_histogram"]["selected"] if other else None
    return {"Images per class": class_bars(rows, "Images per class: labelled, available in the pool, selected",
                                           "taken by the random selection" if other else ""),
            "Scores": histogram(scores["edges"], scores["scored"], scores["selected"],
                                "Histogram of the teacher’s probabilities", ("scored", "selected", "random selection"),
                                stepped)}


def shown_classes(expansion: Expansion) -> list[int]:
    """All classes, or those with the fewest selected images where there are too many to look at."""
    selected = expansion.report["classes"]["selected"]
    return sorted(sorted(range(len(selected)), key=lambda label: (selected[label], label))[:_CLASSES])


def check_alike(expansion: Expansion, random: Expansion) -> None:
    """Refuse two expansions of different tasks.

    Raises:
        InputError: they differ in the number of classes.
    """
    numbers = [len(e.report["classes"]["selected"]) for e in (expansion, random)]
    if numbers[0] != numbers[1]:
        raise InputError(f"{expansion.folder} has {numbers[0]} classes and {random.folder} has {numbers[1]}; compare "
                         "two selections for the same classes.")


def _comparison(compared: Compared) -> Html:
    """A column per selection."""
    if compared.random is None and compared.truth is None:
        return Html("")
    columns = [_summary(e, compared) for e in (compared.expansion, compared.random) if e]
    head = ("", "selected", "random selection")[:len(columns) + 1]
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return table(head, rows, "The two selections" if compared.random else "What the selection holds")


def _summary(expansion: Expansion, compared: Compared) -> dict[str, str]:
    images, total = 0, 0.0
    for pick in selection(expansion):
        images += 1
        total += pick.probability
    facts = {"images": number(images), "mean probability": f"{total / images:.3f}" if images else "–",
             "classes without any": number(len(expansion.report["classes"]["without_any"]))}
    if compared.truth is not None:
        judged = judge_selection(expansion, compared.truth, compared.names)
        facts["foreign pictures"] = _part(judged.foreign, judged.images)
        facts["copies of evaluation images"] = _part(judged.copies, judged.images)
        if judged.of_known_class:
            right = _part(judged.rightly_labelled, judged.of_known_class)
            facts["given the right class, of those whose class is known"] = right
    return facts


def _part(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f} %)" if whole else "–"


def _sheets(compared: Compared, shown: list[int]) -> Html:
    picks = picks_per_class(compared.expansion, _PICTURES)
    others = picks_per_class(compared.random, _PICTURES) if compared.random else {}
    nothing = ClassPicks(0, [], [])
    sheets = []
    for label in shown:
        rows = [_row("selected" if compared.random else "", compared, picks.get(label, nothing), compared.expansion)]
        if compared.random:
            rows.append(_row("random", compared, others.get(label, nothing), compared.random))
        sheets.append(markup('<section class="sheet"><h4>{} <span class="note">{} selected</span></h4>{}</section>',
                             compared.name(label), number(picks.get(label, nothing).count), join(rows)))
    text = paragraph("The {} surest and the {} last pictures of each class with the teacher’s probability. The last "
                     "ones show where the teacher begins to err.", _PICTURES, _PICTURES)
    return join([Html("<h3>The best and the last of every class</h3>"), text, join(sheets)])


def _row(name: str, compared: Compared, picks: ClassPicks, expansion: Expansion) -> Html:
    if not picks.count:
        return markup('<div class="row"><span class="side">{}</span><em>no image</em></div>', name)
    groups = [markup('<div class="tiles">{}</div>', join(_tile(pick, compared, expansion) for pick in group))
              for group in (picks.best, picks.last) if group]
    between = markup('<span class="gap" aria-label="images between are left out">{}</span>', "⋯")
    return markup('<div class="row">{}{}</div>', markup('<span class="side">{}</span>', name) if name else Html(""),
                  join(groups, between))


def _tile(pick: Pick, compared: Compared, expansion: Expansion) -> Html:
    """A thumbnail with its score, and a word where the truth knows that it does not belong there."""
    known = (compared.truth or {}).get(pick.path)
    kind = known.kind if known and known.kind in (FOREIGN, COPY) else ""
    tag = markup('<span class="alien">{}</span>', kind) if kind else Html("")
    words = f"{pick.path}, number {pick.rank + 1} of {compared.name(pick.label)}, probability {pick.probability:.3f}"
    caption = markup("{}{}", f"{pick.probability:.3f}", tag)
    return figure(thumbnail(pick.path, expansion.comparison.roots.pool, words), caption, "tile")
