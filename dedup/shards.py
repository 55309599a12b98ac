"""A pool cut into shards: a pure function of one shard, results that survive a kill, and a plan that guards them."""
from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, ProcessPoolExecutor, as_completed
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, Optional

from .errors import InputError
from .files import atomic_write, write_json
from .index import Embed, ReferenceIndex
from .match import match_to_row
from .source import Source

_LARGEST = 10_000
_SMALLEST = 32
_SHARDS = 64            # of a small pool, so that a few processes finish together
_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Plan(NamedTuple):
    """What is done: `folder` holds the plan, a list of paths per shard, and the results as they come.

    Nothing here depends on who does the work, so a run may go on with any number of workers.
    """

    folder: str
    root: str
    index: str
    index_fingerprint: str
    fingerprint: str
    shards: int

    def names(self, shard: int) -> list[str]:
        """Paths of the pictures of one shard."""
        with open(Path(self.folder) / f"{shard:05d}.txt", encoding="utf-8", newline="\n") as file:
            return file.read().split("\n")[:-1]

    def result_file(self, shard: int) -> Path:
        """Where the result of a shard is, once it is done."""
        return Path(self.folder) / f"{shard:05d}.json"

    def result(self, shard: int) -> dict:
        """The result of a shard.

        Raises:
            InputError: the file is damaged or belongs to another plan.
        """
        file = self.result_file(shard)
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            if result["plan"] == self.fingerprint:
                return result
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} cannot be read: {error}. Remove it, its shard will be done again.") from error
        raise InputError(f"{file} belongs to the plan {result['plan']}, not to {self.fingerprint}. Remove the folder "
                         f"{self.folder} or choose another output folder.")


def shard_size_of(count: int) -> int:
    """Pictures per shard: 10 000 of a large pool, fewer of a small one."""
    return min(_LARGEST, max(_SMALLEST, -(-count // _SHARDS)))


def make_plan(folder, pool: Source, index_folder, index_fingerprint: str, shard_size: int) -> Plan:
    """Write the plan of a run, or find the same one already there.

    Raises:
        InputError: the folder holds another plan; the message says what differs.
    """
    folder = Path(folder)
    content = {"pool_sha256": pool.sha256, "pool_images": len(pool.paths), "index": index_fingerprint,
               "shard_size": shard_size}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    plan = Plan(os.fspath(folder), pool.root, os.fspath(index_folder), index_fingerprint, digest,
                -(-len(pool.paths) // shard_size))
    file = folder / "plan.json"
    if file.exists():
        _require_same(file, content)
        return plan
    for shard in range(plan.shards):
        with atomic_write(folder / f"{shard:05d}.txt") as out:
            out.writelines(f"{name}\n" for name in pool.paths[shard * shard_size:(shard + 1) * shard_size])
    write_json(file, content)
    return plan


def _require_same(file: Path, content: dict) -> None:
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
        differences = [f"{key} {old.get(key)} there, {new} now" for key, new in content.items() if old.get(key) != new]
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read: {error}. Remove the folder {file.parent}.") from error
    if differences:
        raise InputError(f"{file} is the plan of another run: {'; '.join(differences)}. Remove {file.parent} and the "
                         "index beside it to begin anew, or choose another output folder.")


def run_shard(plan: Plan, shard: int, embed: Optional[Embed] = None) -> int:
    """Do one shard and write its result; returns its number. Safe to repeat, and to run anywhere."""
    result = _open_index(plan.index, plan.index_fingerprint, embed).match(plan.names(shard), plan.root)
    best = result.best()
    blamed = set(map(id, best))
    write_json(plan.result_file(shard), {
        "plan": plan.fingerprint,
        "host": platform.node(),
        "removed": [match_to_row(m) for m in best],
        "others": [match_to_row(m) for m in result.matches if id(m) not in blamed],
        "close": [match_to_row(m) for m in result.close],
        "errors": [list(e) for e in result.errors],
        "counts": result.counts})
    return shard


@lru_cache(maxsize=1)
def _open_index(folder: str, expected: str, embed: Optional[Embed]) -> ReferenceIndex:
    return ReferenceIndex.load(folder, embed, expected)


def run_shards(plan: Plan, embed: Optional[Embed], executor: Optional[Executor]) -> Iterator[int]:
    """Do what is not yet done, and yield every shard when it is: first the old ones, then as they come."""
    todo = [shard for shard in range(plan.shards) if not plan.result_file(shard).exists()]
    yield from sorted(set(range(plan.shards)) - set(todo))
    if executor is None:
        yield from map(partial(run_shard, plan, embed=embed), todo)
        return
    futures = [executor.submit(run_shard, plan, shard, embed) for shard in todo]
    try:
        for future in as_completed(futures):
            yield future.result()
    except BrokenExecutor as error:
        raise InputError("a worker process died: it was killed, ran out of memory, or a script called this outside of "
                         "`if __name__ == \"__main__\":`. What is done is kept: run the same again, perhaps with fewer "
                         "workers.") from error
    finally:
        for future in futures:
            future.cancel()


@contextlib.contextmanager
def local_executor(workers: int) -> Iterator[Optional[Executor]]:
    """A pool of processes with one thread each; None for a single worker, which is this process."""
    if workers == 1:
        yield None
        return
    before = {name: os.environ.get(name) for name in _BLAS_THREADS}
    os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))        # read by numpy when a child imports it
    try:
        # not forked: a child would inherit the locks of threads that OpenCV or faiss run here
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def reader(executor: Optional[Executor]) -> Callable:
    """The `map` that reads pictures on the given workers."""
    return map if executor is None else partial(executor.map, chunksize=8)
