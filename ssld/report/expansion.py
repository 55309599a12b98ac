"""What a curation left behind, read row by row: nothing of the size of the pool is held."""
from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError
from .comparison import Comparison, Unreadable, read_comparison
from .tables import read_json, table_rows

FATES_COLUMNS, SELECTION_COLUMNS = ("path", "fate", "detail"), ("path", "class", "probability", "rank")


class Expansion(NamedTuple):
    """A finished curation.

    Attributes:
        folder: with report.json, fates.tsv, selection.tsv and train_list.txt.
        comparison: with the evaluation images.
        report: content of report.json.
        origin: content of train_list.origin.json: config and hashes of the lists.
    """

    folder: Path
    comparison: Comparison
    report: dict
    origin: dict


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
    """What became of the rows of a pool, and those that could not be read."""

    counts: dict[str, int]
    unreadable: Unreadable


def read_expansion(folder: str | Path, pool_root: str | None = None, eval_root: str | None = None) -> Expansion:
    """A finished curation from its folder.

    Args:
        folder: with report.json.
        pool_root, eval_root: where the pictures are, if they have moved.

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
    report, origin = read_json(folder / "report.json"), folder / "train_list.origin.json"
    return Expansion(folder, read_comparison(duplicates, pool_root, eval_root), report,
                     read_json(origin) if origin.exists() else {})


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
    counts, unreadable = Counter(), Unreadable("fates.tsv", Counter(), [])
    for path, fate, detail in fates(expansion):
        counts[fate] += 1
        if fate == "unreadable":
            unreadable.add(path, detail.partition(": ")[0], detail, shown)
    told = dict(expansion.report["pool"])
    lines, repeated = told.pop("lines"), told.pop("repeated")
    if any(counts[fate] != number for fate, number in told.items()) or sum(counts.values()) + repeated != lines:
        raise InputError(f"{expansion.folder}: fates.tsv counts {dict(counts)} and report.json tells {told} of {lines} "
                         "lines. The files are of different runs; run `ssld expand` again.")
    return Account({**{fate: counts[fate] for fate in told}, "repeated": repeated}, unreadable)


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
