"""Removing copies of evaluation images from a pool: a thin bridge from Manifest to the `dedup` package."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup import Match, Options, Removal, Source, read_matches, remove_copies

from ..data.manifest import Manifest, same_bytes
from ..errors import located
from ..progress import Progress
from ..registry import check_arguments

__all__ = ["Cleaned", "Match", "Options", "remove_duplicates"]


class Cleaned(NamedTuple):
    """A pool after removal.

    Attributes:
        pool: the rows that stay, in their order.
        fates: path of every other row -> (fate, detail), such as ("duplicate", "sift of val/7.jpg").
        repeated: rows left out because their path had come before.
    """

    pool: Manifest
    fates: dict[str, tuple[str, str]]
    repeated: int


def remove_duplicates(pool: Manifest, evaluation: Manifest, labelled: Manifest, out: str | Path,
                      options: Mapping | None = None, workers: int = 1, max_error_fraction: float = 0.05,
                      where: str = "Remove", quiet: bool = False) -> Cleaned:
    """Take out of `pool` what copies an evaluation image, what is a labelled image already, and what cannot be read.

    Writes the files of `dedup.remove_copies` to `out`; an interrupted run goes on where it stopped.

    Args:
        pool, evaluation, labelled: the three lists.
        out: folder for the results.
        options: parameters of `dedup.Options`.
        workers: processes.
        max_error_fraction: unreadable images above this share are an error, in [0, 1].
        where: section of the config, for error messages.
        quiet: no progress lines.

    Raises:
        InputError: see `dedup.remove_copies`; or an option that does not exist.
    """
    check_arguments(Options, options or {}, where)
    with located(where):
        options = Options(**(options or {}))
    progress = Progress("compared with the evaluation images", len(pool), quiet=quiet)
    removal: Removal = remove_copies(
        Source.of(pool.path, pool.root, name=str(pool.source)),
        Source.of(evaluation.path, evaluation.root, name=str(evaluation.source)), out,
        options=options, workers=workers, max_error_fraction=max_error_fraction,
        progress=lambda p: progress.update(p.done))
    fates = {match.query: ("duplicate", f"{match.reason} of {match.reference}") for match in read_matches(removal.removed_file)}
    fates.update((path, ("unreadable", reason)) for path, reason in _errors(Path(out) / "errors.tsv"))
    kept = pool.take(_first_occurrences(pool))
    repeated = len(pool) - len(kept)
    kept = kept.take(np.array([path not in fates for path in kept.path], bool))
    known = {kept.path[row]: labelled.path[match] for row, match in same_bytes(kept, labelled).items()}
    fates.update((path, ("labelled", f"the same file as {match}")) for path, match in known.items())
    kept = kept.take(np.array([path not in known for path in kept.path], bool))
    return Cleaned(kept, fates, repeated)


def _errors(table: Path):
    """(path, reason) of each line of an errors.tsv."""
    with open(table, encoding="utf-8") as file:
        next(file)
        for line in file:
            path, _, kind, message = line.rstrip("\n").split("\t")
            yield path, f"{kind}: {message}"


def _first_occurrences(manifest: Manifest) -> np.ndarray:
    """Mask of the rows whose path has not come before."""
    seen: set[str] = set()
    return np.array([not (path in seen or seen.add(path)) for path in manifest.path], bool)
