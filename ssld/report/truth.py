"""How well a curation did, where it is known what every image of the pool is.

The truth is a csv file with the columns path, kind, source, edits. Kind "copy" is an edited copy of the evaluation
image `source`, made by the `edits` "crop+mirror"; kind "foreign" shows none of the classes; any other kind is an
ordinary image, whose `source` may name its class. Nothing that curates or trains reads it.
"""
from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .expansion import Expansion, fates, selection

COPY, FOREIGN, UNKNOWN = "copy", "foreign", "not in the truth"
_COLUMNS = ("path", "kind", "source", "edits")


class Known(NamedTuple):
    """What the truth says of an image."""

    kind: str
    source: str
    edits: str


class Mistake(NamedTuple):
    """A copy that was not removed or another image that was: its path, the evaluation image that it copies or was taken
    for, what it is (edits or kind), and the outcome (fate or reason)."""

    path: str
    reference: str
    what: str
    outcome: str


class Tally(NamedTuple):
    """How many copies were planted, and how many of them were removed."""

    planted: int
    found: int


class Judgement(NamedTuple):
    """Removal against the truth.

    Attributes:
        fates: (kind, fate) -> images.
        copies: of all copies.
        edits: of the copies that an edit was applied to, by edit; a copy with two edits counts in both.
        right_source: removed copies for which the right evaluation image was named.
        missed: copies that were not removed.
        false_removals: images removed as duplicates that are no copies.
    """

    fates: Counter
    copies: Tally
    edits: dict[str, Tally]
    right_source: int
    missed: list[Mistake]
    false_removals: list[Mistake]


class Selected(NamedTuple):
    """Selection against the truth.

    Attributes:
        images: selected ones; an image selected for two classes counts twice.
        copies, foreign: of them.
        of_known_class: of them, those whose class the truth names.
        rightly_labelled: of those, the ones that were selected for this class.
    """

    images: int
    copies: int
    foreign: int
    of_known_class: int
    rightly_labelled: int


def read_truth(file: str | Path) -> dict[str, Known]:
    """What is true of each path.

    Raises:
        InputError: unreadable, or without one of the columns.
    """
    try:
        with open(file, encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            lacking = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if lacking:
                raise InputError(f"{file}: expected the columns {', '.join(_COLUMNS)}, '{lacking[0]}' is missing.")
            return {row["path"]: Known(row["kind"] or "", row["source"] or "", row["edits"] or "") for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} cannot be read as a csv file: {error}. Leave it out if there is none.") from error


def judge(expansion: Expansion, truth: dict[str, Known]) -> Judgement:
    """Compare the fates of a pool with the truth.

    Raises:
        InputError: the truth knows no path of the pool.
    """
    by_kind, planted, found, right, missed, wrong = Counter(), Counter(), Counter(), 0, [], []
    for path, fate, detail in fates(expansion):
        known = truth.get(path, Known(UNKNOWN, "", ""))
        by_kind[known.kind, fate] += 1
        reason, _, reference = detail.partition(" of ")
        if known.kind == COPY:
            names = ["", *dict.fromkeys((known.edits or "exact").split("+"))]
            planted.update(names)
            if fate == "duplicate":
                found.update(names)
                right += reference == known.source
            else:
                missed.append(Mistake(path, known.source, known.edits or "exact", fate))
        elif fate == "duplicate" and known.kind != UNKNOWN:
            wrong.append(Mistake(path, reference, known.kind, reason))
    if all(kind == UNKNOWN for kind, _ in by_kind):
        raise InputError(f"the truth knows no path of {expansion.folder / 'fates.tsv'}. Is it that of another pool?")
    tallies = {name: Tally(planted[name], found[name]) for name in sorted(planted)}
    return Judgement(by_kind, tallies.pop("", Tally(0, 0)), tallies, right, missed, wrong)


def judge_selection(expansion: Expansion, truth: dict[str, Known], classes: list[str]) -> Selected:
    """Compare the selected images with the truth.

    Args:
        expansion: a finished one.
        truth: of its pool.
        classes: names by label; sources among them are taken for the class of their image.
    """
    label_of, kinds, images, known_class, right = {name: i for i, name in enumerate(classes)}, Counter(), 0, 0, 0
    for pick in selection(expansion):
        known = truth.get(pick.path, Known(UNKNOWN, "", ""))
        images += 1
        kinds[known.kind] += 1
        if known.kind != FOREIGN and known.source in label_of:
            known_class += 1
            right += label_of[known.source] == pick.label
    return Selected(images, kinds[COPY], kinds[FOREIGN], known_class, right)
