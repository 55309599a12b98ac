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
from .collect import NO_OVERRIDES, collect, survivors
from .errors import InputError
from .files import write_json
from .index import Embed, ReferenceIndex, fingerprint
from .listed import same_files
from .match import ERROR_COLUMNS, REASONS, write_table
from .options import Options
from .overrides import Overrides
from .source import Source, open_source
from .within.groups import Duplicates, GroupOptions, find_duplicates
from .workers.executors import open_executor, reader

AnySource = Union[str, os.PathLike, Source]
_JUDGED_FROM = 1000         # pictures before the share of unreadable ones means something
_RAISE_LIMIT = "Raise max_error_fraction (--max-errors) to go on"


class Progress(NamedTuple):
    """How far a stage is: pictures or parts done of all, seconds since it began, seconds left if it goes on like this."""

    stage: str
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
                  known: Optional[AnySource] = None, within_pool: Optional[GroupOptions] = None,
                  overrides: Optional[Overrides] = None, workers: int = 1, executor: Optional[Executor] = None,
                  cache: Optional[str] = None, shard_size: Optional[int] = None, max_error_fraction: float = 0.05,
                  dry_run: bool = False, progress: Callable[[Progress], None] = lambda progress: None) -> Removal:
    """Split a pool into pictures to keep and copies of evaluation pictures.

    Writes kept.txt (lines of the pool, in their order), removed.tsv, other_matches.tsv, close.tsv, errors.tsv and
    manifest.json to `out`. A run that was interrupted goes on where it stopped when it is called again. The files
    do not depend on `workers`, `executor` and `shard_size`, apart from the block "duration" of the manifest.

    Args:
        pool: list file, folder, tar file or Source of the pictures to clean.
        against: the same of the evaluation pictures.
        out: output folder; results of shards and the index are kept there too.
        pool_root, eval_root: folders of the paths; the folder of each list by default.
        options: parameters of the comparison.
        delimiter: between path and label in both lists.
        embed: a network as a second source of candidates, see `ReferenceIndex.build`; it must pickle for processes.
        known: pictures that are in use already; those of the pool with the same bytes go, reason "listed".
        within_pool: also remove what duplicates another picture of the pool; see `dedup.within.groups`.
        overrides: a person's decisions, which come before all others; they are applied to what is found already.
        workers: processes on this machine.
        executor: runs the shards instead of own processes; its workers must see `out` and the pictures.
        cache: folder on a local disk of every machine, where the workers keep a copy of the index.
        shard_size: pictures per shard; 10 000, or fewer for a pool below 640 000.
        max_error_fraction: the run stops when more than this part of the pictures cannot be read, in [0, 1]; judged
            when 1000 pictures, or all, have been looked at, so that one bad file among few does not stop it.
        dry_run: write all tables and no kept.txt.
        progress: called after every shard, and every part of the search inside the pool.

    Raises:
        InputError: lists that cannot be used, too many unreadable pictures, overrides for paths that are not in the
            pool, or `out` holds another run.
    """
    _require_sane(workers, shard_size, max_error_fraction)
    if within_pool is not None and "feature" in within_pool.sources and embed is None:
        raise InputError("pairs inside the pool are to be proposed by 'feature', but there is no embed function: give one, or "
                         "leave that source out.")
    began, out, options = time.monotonic(), Path(out), options or Options()
    pool, against = open_source(pool, pool_root, delimiter), open_source(against, eval_root, delimiter)
    known, overrides = known and open_source(known, None, delimiter), overrides or NO_OVERRIDES
    size = shard_size or shards.shard_size_of(len(pool.paths))
    with open_executor("local", workers) if executor is None else contextlib.nullcontext(executor) as executor:
        plan = shards.make_plan(out / "shards", pool, out / "index", fingerprint(against.paths, options, against.root), size,
                                cache, options)
        index = _index(out / "index", against, options, embed, plan.index_fingerprint, executor)
        _require_readable(index, against, max_error_fraction)
        hosts, rate = _run(plan, embed, executor, max_error_fraction, progress)
        listed = same_files(plan.digests(), pool.paths, known, out / "known", executor) if known else ()
        duplicates = {match.query: match for match in listed}
        groups = None
        if within_pool is not None:
            left = pool.paths.take(survivors(plan, duplicates))
            groups = find_duplicates(left, pool.root, out / "groups", options, within_pool, executor,
                                     embed if "feature" in within_pool.sources else None, _Stages(progress))
            duplicates.update((match.query, match) for match in groups.matches)
    counts = collect(plan, pool, out, duplicates, overrides, write_kept=not dry_run)
    write_table(out / "eval_errors.tsv", ERROR_COLUMNS, index.errors)
    seconds = time.monotonic() - began
    manifest = _manifest(pool, against, index, counts, max_error_fraction, groups, overrides)
    manifest["duration"] = {"seconds": round(seconds, 3), "images_per_s": rate, "workers": getattr(executor, "workers", 1),
                            "hosts": len(hosts), "shards": plan.shards, "shard_size": size}
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
        ReferenceIndex.build(against.paths, options, against.root, embed, reader(executor), folder)
    return ReferenceIndex.load(folder, embed, expected, options)


def _require_readable(index: ReferenceIndex, against: Source, limit: float) -> None:
    if len(index.errors) > limit * len(against.paths):
        first = index.errors[0]
        raise InputError(f"{against.name}: {len(index.errors)} of {len(against.paths)} evaluation images cannot be "
                         f"read, more than the part {limit:g} allowed; the first is {first.path}: {first.message}. Is "
                         f"{against.root} the right root? {_RAISE_LIMIT}, without them.")


def _run(plan: shards.Plan, embed, executor, limit: float, progress: Callable[[Progress], None]) -> tuple[set, Optional[float]]:
    """Do every shard and report progress.

    Returns:
        The names of the machines that took part, and the images compared per second; None where all had been before.
    """
    began, done, fresh, hosts, failed, total = time.monotonic(), 0, 0, set(), [], plan.images
    waiting = sum(not plan.result_file(s).exists() for s in range(plan.shards))
    for number, shard in enumerate(shards.run_shards(plan, embed, executor)):
        images, result = plan.size(shard), plan.result(shard)
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
        progress(Progress("compared", done, total, seconds, (total - done) * seconds / fresh if fresh else 0.0))
    return hosts, round(fresh / max(seconds, 1e-3), 3) if fresh else None


class _Stages:
    """Progress of the search inside the pool, stage by stage."""

    def __init__(self, progress: Callable[[Progress], None]):
        self.progress, self.stage, self.began = progress, "", 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        if stage != self.stage:
            self.stage, self.began = stage, time.monotonic()
        seconds = time.monotonic() - self.began
        self.progress(Progress(f"inside the pool, {stage}", done, total, seconds, (total - done) * seconds / max(done, 1)))


def _manifest(pool: Source, against: Source, index: ReferenceIndex, counts: Counter, limit: float,
              groups: Optional[Duplicates], overrides: Overrides) -> dict:
    manifest = {
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
    if overrides.keep or overrides.remove:
        manifest["overrides"] = {"keep": sorted(overrides.keep), "remove": sorted(overrides.remove)}
    if groups is not None:
        manifest["within_pool"] = {"candidates_from": list(groups.sources), "images": groups.images,
                                   "unreadable": groups.unreadable, "pairs": groups.pairs}
    return manifest
