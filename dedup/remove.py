"""A pool without the copies of the evaluation pictures: the whole run, from two lists to four files."""
from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Optional, Union

from . import __version__, shards
from .errors import InputError
from .files import atomic_write, write_json
from .index import Embed, ReferenceIndex, fingerprint
from .match import COLUMNS, ERROR_COLUMNS, REASONS, write_table
from .options import Options
from .source import Source, open_source

AnySource = Union[str, os.PathLike, Source]
_TABLES = {"removed": ("removed.tsv", COLUMNS), "others": ("other_matches.tsv", COLUMNS),
           "close": ("close.tsv", COLUMNS), "errors": ("errors.tsv", ERROR_COLUMNS)}
_JUDGED_FROM = 1000         # pictures before the share of unreadable ones means something
_RAISE_LIMIT = "Raise max_error_fraction (--max-errors) to go on"


class Progress(NamedTuple):
    """How far a run is: pictures done of all, seconds since it began, seconds left if it goes on like this."""

    done: int
    total: int
    seconds: float
    seconds_left: float


class Removal(NamedTuple):
    """What became of a pool: counts of its pictures, the files written, and the whole of manifest.json."""

    images: int
    kept: int
    removed: int
    errors: int
    kept_file: Path
    removed_file: Path
    manifest: dict


def remove_copies(pool: AnySource, against: AnySource, out, *, pool_root=None, eval_root=None,
                  options: Optional[Options] = None, delimiter: str = " ", embed: Optional[Embed] = None,
                  workers: int = 1, executor: Optional[Executor] = None, shard_size: Optional[int] = None,
                  max_error_fraction: float = 0.05, progress: Optional[Callable[[Progress], None]] = None) -> Removal:
    """Split a pool into pictures to keep and copies of evaluation pictures.

    Writes kept.txt (lines of the pool, in their order), removed.tsv, other_matches.tsv, close.tsv, errors.tsv and
    manifest.json to `out`. A run that was interrupted goes on where it stopped when it is called again. The files
    do not depend on `workers`, `executor` and `shard_size`, apart from the block "duration" of the manifest.

    Args:
        pool: list file, folder or Source of the pictures to clean.
        against: the same of the evaluation pictures.
        out: output folder; results of shards and the index are kept there too.
        pool_root, eval_root: folders of the paths; the folder of each list by default.
        options: parameters of the comparison.
        delimiter: between path and label in both lists.
        embed: a network as a second source of candidates, see `ReferenceIndex.build`; it must pickle for processes.
        workers: processes on this machine.
        executor: runs the shards instead of own processes; its workers must see `out` and the pictures.
        shard_size: pictures per shard; 10 000, or fewer for a pool below 640 000.
        max_error_fraction: the run stops when more than this part of the pictures cannot be read, in [0, 1]; judged
            when 1000 pictures, or all, have been looked at, so that one bad file among few does not stop it.
        progress: called after every shard.

    Raises:
        InputError: lists that cannot be used, too many unreadable pictures, or `out` holds another run.
    """
    _require_sane(workers, shard_size, max_error_fraction)
    began, out, options = time.monotonic(), Path(out), options or Options()
    pool, against = open_source(pool, pool_root, delimiter), open_source(against, eval_root, delimiter)
    with contextlib.ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(shards.local_executor(workers))
        index_fingerprint = fingerprint(against.paths, options, against.root)
        size = shard_size or shards.shard_size_of(len(pool.paths))
        plan = shards.make_plan(out / "shards", pool, out / "index", index_fingerprint, size)
        index = _index(out / "index", against, options, embed, index_fingerprint, executor)
        _require_readable(index, against, max_error_fraction)
        hosts = _run(plan, embed, executor, max_error_fraction, progress, len(pool.paths))
    counts = _collect(plan, pool, out)
    write_table(out / "eval_errors.tsv", ERROR_COLUMNS, index.errors)
    seconds = time.monotonic() - began
    manifest = _manifest(pool, against, index, counts, max_error_fraction)
    manifest["duration"] = {"seconds": round(seconds, 3), "images_per_s": round(len(pool.paths) / seconds, 3),
                            "workers": workers, "hosts": len(hosts), "shards": plan.shards, "shard_size": size}
    write_json(out / "manifest.json", manifest)
    return Removal(len(pool.paths), counts["kept"], counts["removed"], counts["errors"], out / "kept.txt",
                   out / "removed.tsv", manifest)


def _require_sane(workers: int, shard_size: Optional[int], max_error_fraction: float) -> None:
    if workers < 1 or (shard_size is not None and shard_size < 1):
        raise InputError(f"workers and shard_size must be at least 1, got {workers} and {shard_size}")
    if not 0 <= max_error_fraction <= 1:
        raise InputError(f"max_error_fraction must lie in [0, 1], got {max_error_fraction}")


def _index(folder: Path, against: Source, options: Options, embed: Optional[Embed], expected: str,
           executor: Optional[Executor]) -> ReferenceIndex:
    if not (folder / "index.json").exists():
        ReferenceIndex.build(against.paths, options, against.root, embed, shards.reader(executor)).save(folder)
    return ReferenceIndex.load(folder, embed, expected)


def _require_readable(index: ReferenceIndex, against: Source, limit: float) -> None:
    if len(index.errors) > limit * len(against.paths):
        first = index.errors[0]
        raise InputError(f"{against.name}: {len(index.errors)} of {len(against.paths)} evaluation images cannot be "
                         f"read, more than the part {limit:g} allowed; the first is {first.path}: {first.message}. Is "
                         f"{against.root} the right root? {_RAISE_LIMIT}, without them.")


def _run(plan: shards.Plan, embed, executor, limit: float, progress, total: int) -> set:
    """Do every shard, report progress, and return the names of the machines that took part."""
    began, done, fresh, hosts, failed = time.monotonic(), 0, 0, set(), []
    waiting = sum(not plan.result_file(s).exists() for s in range(plan.shards))
    for number, shard in enumerate(shards.run_shards(plan, embed, executor)):
        images, result = len(plan.names(shard)), plan.result(shard)
        done += images
        failed += result["errors"]
        if done >= min(total, _JUDGED_FROM) and len(failed) > limit * done:
            raise InputError(f"{len(failed)} of {done} images cannot be read, more than the part {limit:g} allowed; one is "
                             f"{failed[0][0]}: {failed[0][3]}. Is {plan.root} the right root? {_RAISE_LIMIT}; what is done "
                             "is kept.")
        hosts.add(result["host"])
        if number >= plan.shards - waiting:
            fresh += images
        seconds = time.monotonic() - began
        if progress is not None:
            progress(Progress(done, total, seconds, (total - done) * seconds / fresh if fresh else 0.0))
    return hosts


def _collect(plan: shards.Plan, pool: Source, out: Path) -> Counter:
    """Concatenate the results of all shards, in the order of the pool; returns the counts."""
    counts: Counter = Counter(dict.fromkeys(["kept", "removed", "errors", *REASONS], 0))
    with contextlib.ExitStack() as stack:
        kept = stack.enter_context(atomic_write(out / "kept.txt"))
        tables = {}
        for key, (name, columns) in _TABLES.items():
            tables[key] = stack.enter_context(atomic_write(out / name))
            tables[key].write("\t".join(columns) + "\n")
        row = 0
        for shard in range(plan.shards):
            result, names = plan.result(shard), plan.names(shard)
            for key, file in tables.items():
                file.writelines("\t".join(cells) + "\n" for cells in result[key])
            gone = {cells[0] for key in ("removed", "errors") for cells in result[key]}
            kept.writelines(f"{pool.lines[row + i]}\n" for i, name in enumerate(names) if name not in gone)
            counts.update(result["counts"])
            counts.update(cells[2] for cells in result["removed"])
            counts.update(kept=len(names) - len(gone), removed=len(result["removed"]), errors=len(result["errors"]))
            row += len(names)
    if counts["errors"] == len(pool.paths):
        raise InputError(f"{pool.name}: none of its {len(pool.paths)} images can be read; see {out / 'errors.tsv'}. Is "
                         f"{pool.root} the right root?")
    return counts


def _manifest(pool: Source, against: Source, index: ReferenceIndex, counts: Counter, limit: float) -> dict:
    return {
        "version": __version__,
        "parameters": {**asdict(index.options), "max_error_fraction": limit},
        "candidates_from": ["sha256", "hash", "sift"] + (["feature"] if index.embed else []),
        "pool": {"list": pool.name, "root": pool.root, "sha256": pool.sha256,
                 "lines": len(pool.paths) + pool.repeated, "repeated": pool.repeated},
        "evaluation": {"list": against.name, "root": against.root, "sha256": against.sha256,
                       "lines": len(against.paths) + against.repeated, "repeated": against.repeated,
                       "errors": len(index.errors)},
        "index": index.fingerprint,
        "counts": {"in": len(pool.paths), **{key: counts[key] for key in ("kept", "removed", "errors")},
                   "removed_by_reason": {reason: counts[reason] for reason in REASONS},
                   "truncated": counts["truncated"], "no_local_features": counts["no_local_features"]},
    }
