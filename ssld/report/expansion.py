"""What a curation left behind, read row by row: nothing of the size of the pool is held."""
from __future__ import annotations

import heapq
import json
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from dedup import Match, Options
from dedup.match import COLUMNS, match_from_row
from dedup.sheet import certainty

from ..errors import InputError

FATES_COLUMNS, SELECTION_COLUMNS = ("path", "fate", "detail"), ("path", "class", "probability", "rank")


class Expansion(NamedTuple):
    """A finished curation.

    Attributes:
        folder: with report.json, fates.tsv, selection.tsv and train_list.txt.
        duplicates: folder of the comparison with the evaluation images.
        report: content of report.json.
        origin: content of train_list.origin.json: config and hashes of the lists.
        comparison: content of duplicates/manifest.json.
    """

    folder: Path
    duplicates: Path
    report: dict
    origin: dict
    comparison: dict

    @property
    def options(self) -> Options:
        """Parameters of the comparison."""
        known = {field.name for field in fields(Options)}
        return Options(**{name: value for name, value in self.comparison["parameters"].items() if name in known})

    def root(self, name: str) -> str:
        """Where the images of the list `name` (pool, evaluation, labelled) lie."""
        return self.report["image_root"][name]


class Pick(NamedTuple):
    """A selected image."""

    path: str
    label: int
    probability: float
    rank: int


class ClassPicks(NamedTuple):
    """The images selected for one class: how many, the first few, and the last few of the others."""

    count: int
    best: list[Pick]
    last: list[Pick]


class Account(NamedTuple):
    """What became of the rows of a pool: counts, and the first of those that could not be read with the reason."""

    counts: dict[str, int]
    unreadable: list[tuple[str, str]]


def read_expansion(folder: str | Path) -> Expansion:
    """A finished curation from its folder.

    Raises:
        InputError: no such folder, or a file is missing because the curation did not come to its end.
    """
    folder = Path(folder)
    above = (f / "duplicates" for f in (folder, *folder.parents))      # another selection stands in a subfolder
    duplicates = next((f for f in above if (f / "manifest.json").is_file()), None)
    needed = [folder / name for name in ("report.json", "fates.tsv", "selection.tsv")]
    missing = [str(file) for file in needed if not file.is_file()]
    if missing or duplicates is None:
        lack = missing[0] if missing else f"{folder / 'duplicates/manifest.json'}"
        raise InputError(f"{folder} is no finished expansion: {lack} is missing. Give the output folder of `ssld "
                         "expand`, or run it again: it goes on where it stopped.")
    origin = folder / "train_list.origin.json"
    return Expansion(folder, duplicates, _json(folder / "report.json"), _json(origin) if origin.exists() else {},
                     _json(duplicates / "manifest.json"))


def _json(file: Path) -> dict:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{file} is not valid JSON: {error}. Was it edited? Make it again.") from error


def table_rows(file: Path, columns: tuple[str, ...]) -> Iterator[list[str]]:
    """The rows of a tab-separated table, one after the other.

    Raises:
        InputError: missing file, other columns, or a row with another number of cells.
    """
    try:
        with open(file, encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            head = next(lines, "").rstrip("\n").split("\t")
            if head != list(columns):
                raise InputError(f"{file}:1: expected the columns {', '.join(columns)}, found {', '.join(head)}.")
            for number, line in enumerate(lines, 2):
                cells = line.rstrip("\n").split("\t")
                if len(cells) != len(columns):
                    raise InputError(f"{file}:{number}: expected {len(columns)} cells, found {len(cells)}: "
                                     f"{line[:80]!r}.")
                yield cells
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}. It is a part of a finished expansion.") from error


def fates(expansion: Expansion) -> Iterator[list[str]]:
    """(path, fate, detail) of every path of the pool."""
    return table_rows(expansion.folder / "fates.tsv", FATES_COLUMNS)


def account(expansion: Expansion, shown: int) -> Account:
    """Count the fates, and compare them with report.json.

    Args:
        expansion: a finished one.
        shown: unreadable images to list.

    Raises:
        InputError: the files of the folder do not belong together.
    """
    counts, unreadable = Counter(), []
    for path, fate, detail in fates(expansion):
        counts[fate] += 1
        if fate == "unreadable" and len(unreadable) < shown:
            unreadable.append((path, detail))
    told = dict(expansion.report["pool"])
    lines, repeated = told.pop("lines"), told.pop("repeated")
    if any(counts[fate] != number for fate, number in told.items()) or sum(counts.values()) + repeated != lines:
        raise InputError(f"{expansion.folder}: fates.tsv counts {dict(counts)} and report.json tells {told} of {lines} "
                         "lines. The files are of different runs; run `ssld expand` again.")
    return Account({**{fate: counts[fate] for fate in told}, "repeated": repeated}, unreadable)


def uncertain_removals(expansion: Expansion, number: int) -> list[Match]:
    """The removed pairs that are least certain, the least certain first."""
    removed = _matches(expansion.duplicates / "removed.tsv")
    return heapq.nsmallest(number, removed, key=lambda match: (certainty(match), match.query))


def closest_kept(expansion: Expansion, number: int) -> list[Match]:
    """The pairs that were nearest to being removed and were not, the nearest first."""
    close = _matches(expansion.duplicates / "close.tsv")
    return heapq.nsmallest(number, close, key=lambda match: (-certainty(match), match.query))


def _matches(file: Path) -> Iterator[Match]:
    for number, cells in enumerate(table_rows(file, COLUMNS), 2):
        try:
            yield match_from_row(cells)
        except ValueError as error:
            raise InputError(f"{file}:{number}: not a match: {error}. Was the file edited by hand?") from error


def selection(expansion: Expansion) -> Iterator[Pick]:
    """Every selected image, by class and rank."""
    file = expansion.folder / "selection.tsv"
    for number, (path, label, probability, rank) in enumerate(table_rows(file, SELECTION_COLUMNS), 2):
        try:
            yield Pick(path, int(label), float(probability), int(rank))
        except ValueError as error:
            raise InputError(f"{file}:{number}: expected class, probability and rank as numbers: {error}.") from error


def picks_per_class(expansion: Expansion, number: int) -> dict[int, ClassPicks]:
    """The `number` best and, of the others, the `number` last images selected for each class."""
    best: dict[int, list[Pick]] = {}
    last: dict[int, deque] = {}
    counts: Counter = Counter()
    for pick in selection(expansion):
        counts[pick.label] += 1
        if counts[pick.label] <= number:
            best.setdefault(pick.label, []).append(pick)
        else:
            last.setdefault(pick.label, deque(maxlen=number)).append(pick)
    return {label: ClassPicks(counts[label], best[label], list(last.get(label, ()))) for label in sorted(counts)}
