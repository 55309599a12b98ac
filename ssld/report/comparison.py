"""What the comparison of a pool with evaluation images left behind: a folder of `python -m dedup` or of `ssld expand`."""
from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from dedup import Match, Options
from dedup.match import COLUMNS, ERROR_COLUMNS, match_from_row
from dedup.overrides import Overrides
from dedup.sheet import certainty

from ..errors import InputError
from .tables import read_json, table_rows


class Roots(NamedTuple):
    """Folders of the paths of pool and evaluation list."""

    pool: str
    evaluation: str


class Comparison(NamedTuple):
    """A finished comparison.

    Attributes:
        folder: with removed.tsv, close.tsv and errors.tsv.
        manifest: content of manifest.json.
        roots: where the pictures are.
    """

    folder: Path
    manifest: dict
    roots: Roots

    @property
    def options(self) -> Options:
        """Parameters of the comparison."""
        known = {field.name for field in fields(Options)}
        return Options(**{name: value for name, value in self.manifest["parameters"].items() if name in known})

    @property
    def overrides(self) -> Overrides:
        """Decisions of a person that the run has already followed."""
        applied = self.manifest.get("overrides", {})
        return Overrides(frozenset(applied.get("keep", ())), frozenset(applied.get("remove", ())))

    def fingerprint(self) -> str:
        """Tells this result from that of any other run, as 16 hexadecimal digits; the time it took does not count."""
        same = {key: value for key, value in self.manifest.items() if key != "duration"}
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


class Unreadable(NamedTuple):
    """Pictures that could not be read: the table that lists all, how many by class of error, the first with the reason."""

    table: str
    by_class: Counter
    first: list[tuple[str, str]]

    def add(self, path: str, kind: str, reason: str, shown: int) -> None:
        """One more; listed if fewer than `shown` are."""
        self.by_class[kind] += 1
        if len(self.first) < shown:
            self.first.append((path, reason))


def read_comparison(folder: str | Path, pool_root: str | None = None, eval_root: str | None = None) -> Comparison:
    """A finished comparison from its folder.

    Args:
        folder: of the tables.
        pool_root, eval_root: where the pictures are, if they have moved.

    Raises:
        InputError: a file is missing because the run did not come to its end, or no manifest of a comparison.
    """
    folder = Path(folder)
    for name in ("manifest.json", "removed.tsv", "close.tsv", "errors.tsv"):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is no finished comparison: {folder / name} is missing. Give the output folder of "
                             "`python -m dedup`, or run it again: it goes on where it stopped.")
    manifest = read_json(folder / "manifest.json")
    try:
        roots = Roots(pool_root or manifest["pool"]["root"], eval_root or manifest["evaluation"]["root"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{folder / 'manifest.json'} does not say where the pictures are: {error!r} is missing. Run the "
                         "comparison again.") from error
    return Comparison(folder, manifest, roots)


def removed(comparison: Comparison) -> Iterator[Match]:
    """Every removed picture of the pool, in the pool's order."""
    return _matches(comparison.folder / "removed.tsv")


def close(comparison: Comparison) -> Iterator[Match]:
    """The pairs that were nearly removed."""
    return _matches(comparison.folder / "close.tsv")


def unreadable(comparison: Comparison, shown: int) -> Unreadable:
    """The pictures of the pool that could not be read, `shown` of them listed."""
    found = Unreadable("errors.tsv", Counter(), [])
    for path, _, kind, message in table_rows(comparison.folder / found.table, ERROR_COLUMNS):
        found.add(path, kind, message, shown)
    return found


def uncertain_removals(comparison: Comparison, number: int) -> list[Match]:
    """The removed pairs that are least certain, the least certain first; without what a person removed."""
    found = (match for match in removed(comparison) if match.reason != "override")
    return heapq.nsmallest(number, found, key=lambda match: (certainty(match), match.query))


def closest_kept(comparison: Comparison, number: int) -> list[Match]:
    """The pairs that were nearest to being removed and were not, the nearest first."""
    return heapq.nsmallest(number, close(comparison), key=lambda match: (-certainty(match), match.query))


def _matches(file: Path) -> Iterator[Match]:
    for number, cells in enumerate(table_rows(file, COLUMNS), 2):
        try:
            yield match_from_row(cells)
        except ValueError as error:
            raise InputError(f"{file}:{number}: not a match: {error}. Was the file edited by hand?") from error
