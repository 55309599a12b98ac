"""Removing copies of evaluation images from a pool: a thin bridge from Manifest to the `dedup` package."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from pathlib import Path

from dedup import GroupOptions, Match, Options, Overrides, Source, read_matches, remove_copies
from dedup import Progress as RemovalProgress
from dedup.paths import Paths

from ..data.manifest import Manifest
from ..progress import Progress
from .fates import Fates

__all__ = ["Match", "Options", "remove_duplicates"]
_FATE = {"pool-duplicate": "pool-duplicate", "override": "removed by hand", "listed": "labelled"}


def remove_duplicates(pool: Manifest, evaluation: Manifest, labelled: Manifest, out: str | Path, options: Options | None = None,
                      within_pool: GroupOptions | None = None, overrides: Overrides | None = None,
                      embed: Callable | None = None, executor: Executor | None = None,
                      max_error_fraction: float = 0.05) -> None:
    """Find the rows of `pool` that copy an evaluation image, are a labelled image already, or cannot be read.

    Writes the files of `dedup.remove_copies` to `out`, which `read_fates` reads; an interrupted run goes on where it
    stopped.

    Args:
        pool, evaluation, labelled: the three lists.
        out: folder for the results.
        options: parameters of the comparison.
        within_pool: also take out what duplicates another image of the pool.
        overrides: a person's decisions, which come before all others.
        embed: files -> features of a network, a second source of candidates.
        executor: runs the shards; this process if None.
        max_error_fraction: unreadable images above this share are an error, in [0, 1].

    Raises:
        InputError: see `dedup.remove_copies`.
    """
    remove_copies(
        source_of(pool), source_of(evaluation), out, known=source_of(labelled), options=options, within_pool=within_pool,
        overrides=overrides, embed=embed, executor=executor, max_error_fraction=max_error_fraction,
        progress=_Shown())


def read_fates(pool: Manifest, out: str | Path) -> Fates:
    """The fate of every row of `pool` after a removal to `out`; the rows that stay are "not selected" so far."""
    fates = Fates(len(pool))
    fates.set(~pool.path.first_occurrences(), "repeated")
    removed = read_matches(Path(out) / "removed.tsv")
    for match, row in zip(removed, _rows(pool.path, (m.query for m in removed))):
        fates.set([row], _FATE.get(match.reason, "duplicate"), [_why(match)])
    errors = list(_errors(Path(out) / "errors.tsv"))
    fates.set(list(_rows(pool.path, (path for path, _ in errors))), "unreadable", [why for _, why in errors])
    return fates


class _Shown:
    """Progress lines, stage by stage."""

    def __init__(self):
        self.lines: Progress | None = None

    def __call__(self, progress: RemovalProgress) -> None:
        if self.lines is None or self.lines.name != progress.stage:
            self.lines = Progress(progress.stage, progress.total)
        self.lines.update(progress.done)


def source_of(manifest: Manifest) -> Source:
    """The pictures of a list as dedup takes them."""
    return Source.of(manifest.path, manifest.root, name=str(manifest.source))


def _why(match: Match) -> str:
    if match.reason == "listed":
        return f"the same file as {match.reference}"
    return f"{match.reason} of {match.reference}" if match.reference else match.reason


def _rows(paths: Paths, wanted: Iterator[str]) -> Iterator[int]:
    """The row of each of some paths, which come in the order of `paths`."""
    row = 0
    for path in wanted:
        encoded = path.encode("utf-8", "surrogateescape")
        while paths.bytes(row) != encoded:
            row += 1
        yield row


def _errors(table: Path) -> Iterator[tuple[str, str]]:
    """(path, reason) of each line of an errors.tsv."""
    with open(table, encoding="utf-8") as file:
        next(file)
        for line in file:
            path, _, kind, message = line.rstrip("\n").split("\t")
            yield path, f"{kind}: {message}"
