"""A pool cut into shards: a pure function of one shard, results that survive a kill, and a plan that guards them."""
from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from .digests import read_digests, write_digests
from .errors import InputError
from .files import atomic_write, write_json
from .index import Embed, ReferenceIndex
from .match import match_to_row
from .options import Options
from .source import Source
from .workers.executors import run_tasks
from .workers.local_copy import local_copy

_LARGEST = 10_000
_SMALLEST = 32
_SHARDS = 64            # of a small pool, so that a few processes finish together
_PLAN = "plan.json"
_RESULTS = ("removed", "others", "close", "errors", "counts")
_opened: dict[tuple, ReferenceIndex] = {}       # the index this process works with, by where it lies and what it is


class Plan(NamedTuple):
    """What is done: `folder` holds the plan, a list of paths per shard, and the results as they come.

    Nothing here depends on who does the work, so a run may go on with any number of workers.

    Args:
        folder: of the plan and the results.
        root: folder of the pictures.
        index: folder of the reference index.
        index_fingerprint: of that index.
        fingerprint: of all that the results depend on, 64 hexadecimal digits.
        images: pictures of the pool.
        shard_size: pictures per shard; the last one holds the rest.
        cache: folder on a local disk of every machine, for a copy of the index; no result depends on it.
        options: parameters of the comparison; None: those the index was built with.
    """

    folder: str
    root: str
    index: str
    index_fingerprint: str
    fingerprint: str
    images: int
    shard_size: int
    cache: Optional[str] = None
    options: Optional[Options] = None

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-self.images // self.shard_size)

    def size(self, shard: int) -> int:
        """Pictures of one shard."""
        return min(self.shard_size, self.images - shard * self.shard_size)

    def list_file(self, shard: int) -> Path:
        """Where the paths of a shard are."""
        return Path(self.folder) / f"{shard:05d}.txt"

    def result_file(self, shard: int) -> Path:
        """Where the result of a shard is, once it is done."""
        return Path(self.folder) / f"{shard:05d}.json"

    def digest_file(self, shard: int) -> Path:
        """Where the digests of a shard's files are, once it is done."""
        return Path(self.folder) / f"{shard:05d}.sha256"

    def digests(self) -> Iterator[np.ndarray]:
        """Digests of all files, "S32", shard by shard.

        Raises:
            InputError: a file is missing or damaged.
        """
        for shard in range(self.shards):
            file = self.digest_file(shard)
            try:
                digests = read_digests(file)
                if len(digests) == self.size(shard):
                    yield digests
                    continue
                reason = f"it holds {len(digests)} digests instead of {self.size(shard)}"
            except OSError as error:
                reason = error.strerror
            raise InputError(f"{file} cannot be read: {reason}. Remove {self.result_file(shard)}, then its shard is done "
                             "again.")

    def names(self, shard: int) -> list[str]:
        """Paths of the pictures of one shard.

        Raises:
            InputError: the file is damaged.
        """
        file = self.list_file(shard)
        try:
            *names, rest = file.read_bytes().decode().split("\n")
        except (OSError, ValueError) as error:
            raise InputError(f"{file} cannot be read: {error}. {self._anew}") from error
        if rest or len(names) != self.size(shard):
            raise InputError(f"{file} was changed: it lists {len(names)} paths instead of {self.size(shard)}. {self._anew}")
        return names

    def result(self, shard: int) -> dict:
        """The result of a shard.

        Raises:
            InputError: the file is damaged, or belongs to another plan or shard.
        """
        file = self.result_file(shard)
        try:
            result = json.loads(file.read_text(encoding="utf-8"))
            plan, number = result["plan"], result["shard"]
            *_, errors, counts = (result[key] for key in _RESULTS)
            images = counts["images"] + len(errors)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file} cannot be read: {type(error).__name__} {error}. Remove it, its shard will be done "
                             "again.") from error
        if plan != self.fingerprint:
            raise InputError(f"{file} belongs to the plan {plan}, not to {self.fingerprint}. Remove the folder {self.folder} "
                             "or choose another output folder.")
        if number != shard or images != self.size(shard):
            raise InputError(f"{file} was changed: it is the result of {images} images of shard {number}, not of "
                             f"{self.size(shard)} of shard {shard}. Remove it, its shard will be done again.")
        return result

    @property
    def _anew(self) -> str:
        return f"Remove {Path(self.folder) / _PLAN}, then the lists are written again and results that are there serve again."


def shard_size_of(count: int) -> int:
    """Pictures per shard: 10 000 of a large pool, fewer of a small one."""
    return min(_LARGEST, max(_SMALLEST, -(-count // _SHARDS)))


def make_plan(folder, pool: Source, index_folder, index_fingerprint: str, shard_size: int,
              cache: Optional[str] = None, options: Optional[Options] = None) -> Plan:
    """Write the plan of a run, or find the same one already there; its fields are described by `Plan`.

    Raises:
        InputError: the folder holds another plan; the message says what differs.
    """
    folder = Path(folder)
    content = {"pool_sha256": pool.sha256, "pool_images": len(pool.paths), "index": index_fingerprint,
               "shard_size": shard_size}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    plan = Plan(os.fspath(folder), pool.root, os.fspath(index_folder), index_fingerprint, digest, len(pool.paths), shard_size,
                cache, options)
    file = folder / _PLAN
    if file.exists():
        require_same_plan(file, content, "run", f"Remove {folder} and the index beside it")
        return plan
    for shard in range(plan.shards):
        with atomic_write(plan.list_file(shard)) as out:
            out.writelines(f"{name}\n" for name in pool.paths[shard * shard_size:(shard + 1) * shard_size])
    write_json(file, content)
    return plan


def require_same_plan(file: Path, content: dict, kind: str, remedy: str) -> None:
    """Refuse to go on with a folder whose plan says something else than `content`.

    Raises:
        InputError: says what differs, and what to do to begin anew.
    """
    try:
        old = json.loads(file.read_text(encoding="utf-8"))
        differences = [f"{key} {old.get(key)} there, {new} now" for key, new in content.items() if old.get(key) != new]
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read: {error}. Remove the folder {file.parent}.") from error
    if differences:
        raise InputError(f"{file} is the plan of another {kind}: {'; '.join(differences)}. {remedy} to begin anew, or choose "
                         "another output folder.")


def run_shard(plan: Plan, shard: int, embed: Optional[Embed] = None) -> int:
    """Do one shard and write its result; returns its number. Safe to repeat, and to run anywhere."""
    result = _open_index(plan, embed).match(plan.names(shard), plan.root)
    best = result.best()
    blamed = set(map(id, best))
    write_digests(plan.digest_file(shard), result.digests)
    write_json(plan.result_file(shard), {
        "plan": plan.fingerprint,
        "shard": shard,
        "host": platform.node(),
        "removed": [match_to_row(m) for m in best],
        "others": [match_to_row(m) for m in result.matches if id(m) not in blamed],
        "close": [match_to_row(m) for m in result.close],
        "errors": [list(e) for e in result.errors],
        "counts": result.counts})
    return shard


def _open_index(plan: Plan, embed: Optional[Embed]) -> ReferenceIndex:
    """The index of a plan; a process opens it once, with the first `embed`, whose network is part of the fingerprint."""
    key = plan.index, plan.cache, plan.index_fingerprint
    if key not in _opened:
        _opened.clear()
        folder = local_copy(plan.index, plan.cache, plan.index_fingerprint) if plan.cache else plan.index
        _opened[key] = ReferenceIndex.load(folder, embed, plan.index_fingerprint, plan.options)
    return _opened[key]


def run_shards(plan: Plan, embed: Optional[Embed], executor: Optional[Executor]) -> Iterator[int]:
    """Do what is not yet done, and yield every shard when it is: first the old ones, then as they come.

    Raises:
        InputError: shards whose worker died again and again; everything else is done by then.
    """
    todo = [shard for shard in range(plan.shards) if not plan.result_file(shard).exists()]
    yield from sorted(set(range(plan.shards)) - set(todo))
    for shard, _ in run_tasks(partial(run_shard, plan, embed=embed), todo, executor,
                              lambda shard: f"shard {shard} (its images: {plan.list_file(shard)})"):
        yield shard
