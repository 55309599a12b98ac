"""From the results of all shards to lists, tables and counts: every path of the pool ends up in exactly one of them."""
from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .errors import InputError
from .files import atomic_write
from .match import COLUMNS, ERROR_COLUMNS, REASONS, Match, match_to_row
from .overrides import Overrides
from .shards import Plan
from .source import Source

_TABLES = {"removed": ("removed.tsv", COLUMNS), "others": ("other_matches.tsv", COLUMNS),
           "close": ("close.tsv", COLUMNS), "errors": ("errors.tsv", ERROR_COLUMNS)}
NO_OVERRIDES = Overrides(frozenset(), frozenset())


def settle(names: list[str], result: Mapping, duplicates: Mapping[str, Match], overrides: Overrides) -> dict[str, list]:
    """The rows of one shard's tables.

    A person's decision comes first, then what the shard found, then duplicates inside the pool; what cannot be read
    stays an error.

    Args:
        names: paths of the shard.
        result: of `shards.run_shard`.
        duplicates: pool path -> its match with the pool picture that stays in its place.
        overrides: a person's decisions.
    """
    failed = {cells[0] for cells in result["errors"]}
    found = {cells[0]: cells for cells in result["removed"] if cells[0] not in overrides.keep}
    for name in names:
        if name in overrides.remove and name not in failed | found.keys():
            found[name] = match_to_row(Match(name, "", "override", 0, 0.0, None, None, None, False))
        elif name in duplicates and name not in failed | found.keys() | overrides.keep:
            found[name] = match_to_row(duplicates[name])
    return {"removed": [found[name] for name in names if name in found],
            "others": [cells for cells in result["others"] if cells[0] in found],
            "close": [cells for cells in result["close"] if cells[0] not in found],
            "errors": result["errors"]}


def collect(plan: Plan, pool: Source, out: Path, duplicates: Mapping[str, Match], overrides: Overrides = NO_OVERRIDES,
            write_kept: bool = True) -> Counter:
    """Write kept.txt and the tables in the order of the pool; returns the counts.

    Raises:
        InputError: no picture of the pool can be read, or an override names a path that is not in the pool.
    """
    counts: Counter = Counter(dict.fromkeys(["kept", "removed", "errors", *REASONS], 0))
    unknown = set(overrides.keep | overrides.remove)
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(atomic_write(out / "kept.txt")) if write_kept else None
        tables = {}
        for key, (name, columns) in _TABLES.items():
            tables[key] = stack.enter_context(atomic_write(out / name))
            tables[key].write("\t".join(columns) + "\n")
        row = 0
        for shard in range(plan.shards):
            result, names = plan.result(shard), plan.names(shard)
            settled = settle(names, result, duplicates, overrides)
            for key, file in tables.items():
                file.writelines("\t".join(cells) + "\n" for cells in settled[key])
            gone = {cells[0] for key in ("removed", "errors") for cells in settled[key]}
            if kept is not None:
                kept.writelines(f"{pool.lines[row + i]}\n" for i, name in enumerate(names) if name not in gone)
            counts.update(result["counts"])
            counts.update(cells[2] for cells in settled["removed"])
            counts.update(kept=len(names) - len(gone), removed=len(settled["removed"]), errors=len(settled["errors"]))
            unknown.difference_update(names)
            row += len(names)
        _require_sense(counts, pool, unknown, out)
    return counts


def survivors(plan: Plan, duplicates: Mapping[str, Match], overrides: Overrides = NO_OVERRIDES) -> np.ndarray:
    """Mask of the paths that are neither copies nor unreadable, so that they may hold duplicates inside the pool."""
    left = []
    for shard in range(plan.shards):
        names = plan.names(shard)
        settled = settle(names, plan.result(shard), duplicates, overrides)
        gone = {cells[0] for key in ("removed", "errors") for cells in settled[key]}
        left.append(np.array([name not in gone for name in names], bool))
    return np.concatenate(left)


def _require_sense(counts: Counter, pool: Source, unknown: set, out: Path) -> None:
    if counts["errors"] == len(pool.paths):
        raise InputError(f"{pool.name}: none of its {len(pool.paths)} images can be read, so nothing was written to {out}. "
                         f"Is {pool.root} the right root?")
    if unknown:
        raise InputError(f"the overrides name {len(unknown)} path(s) that are not in {pool.name}, such as "
                         f"{sorted(unknown)[0]!r}. Was the file made for another pool?")
