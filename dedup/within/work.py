"""A search for duplicates as files: what was asked for, the parts of every stage, and who may go on with them."""
from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from ..errors import InputError
from ..files import atomic_write, write_json
from ..options import Options
from ..paths import Paths
from ..shards import require_same_plan, shard_size_of
from ..workers.executors import run_tasks

FORMAT = 1
SOURCES = ("hash", "sift", "feature")
StageProgress = Callable[[str, int, int], None]        # the stage, its parts that are done, all its parts


@dataclass(frozen=True)
class GroupOptions:
    """Which pairs of pool pictures are looked at. What makes a pair duplicates is said by `Options`.

    Args:
        sources: who proposes pairs: "hash", "sift" (local features), "feature" (a network's); equal bytes always do.
        keypoints: key points per picture in the search by local features.
        neighbours: nearest descriptors that vote, per descriptor; a picture's own are among them.
        min_score: votes a pair needs to be verified.
        candidates: best pairs by votes that are verified, per picture.
        block: pictures searched at once by local features; memory grows with it, time with images / block.
        near: nearest pictures by hash, and by feature, that are verified, per picture.
        exact_below: pictures up to which features are searched exactly; compressed lists of 64 bytes each beyond.

    Raises:
        InputError: an unknown source or a value outside its range.
    """

    sources: tuple = ("hash", "sift")
    keypoints: int = 64
    neighbours: int = 4
    min_score: float = 2.0
    candidates: int = 5
    block: int = 100_000
    near: int = 20
    exact_below: int = 50_000

    def __post_init__(self):
        object.__setattr__(self, "sources", tuple(self.sources))        # a list would not hash
        unknown = set(self.sources) - set(SOURCES)
        if unknown:
            raise InputError(f"sources of pairs are {', '.join(SOURCES)}; got {', '.join(map(repr, sorted(unknown)))}")
        for name, least in (("keypoints", 8), ("neighbours", 2), ("min_score", 0), ("candidates", 1), ("block", 1),
                            ("near", 1), ("exact_below", 1000)):
            if not getattr(self, name) >= least:
                raise InputError(f"group option {name} must be at least {least}, got {getattr(self, name)!r}")


class Work(NamedTuple):
    """What is searched and how. Pictures are known by their row in the order of their paths' bytes.

    Every stage is cut into parts whose results are files of arrays, `STAGE-00000.npz`; each names the plan it belongs
    to. Nothing depends on who does a part, so a search may go on with any number of workers.
    """

    folder: str
    root: str
    fingerprint: str
    images: int
    options: Options
    group_options: GroupOptions

    @property
    def part_size(self) -> int:
        """Pictures per part."""
        return shard_size_of(self.images)

    @property
    def parts(self) -> int:
        """Parts of the pool."""
        return -(-self.images // self.part_size)

    def rows(self, part: int) -> range:
        """Rows of the pictures of one part."""
        return range(part * self.part_size, min((part + 1) * self.part_size, self.images))

    def names(self) -> Paths:
        """Paths of all pictures, memory-mapped."""
        return _names(self.folder, self.fingerprint)

    def picture_file(self, row: int) -> str:
        """The file of one picture."""
        return os.path.join(self.root, self.names()[row])

    def file(self, stage: str, part: int = 0) -> Path:
        """Where the result of a part is, once it is done."""
        return Path(self.folder) / f"{stage}-{part:05d}.npz"

    def write(self, stage: str, part: int = 0, **arrays: np.ndarray) -> None:
        """Write the result of a part, whole or not at all."""
        with atomic_write(self.file(stage, part), "wb") as file:
            np.savez(file, plan=np.frombuffer(bytes.fromhex(self.fingerprint), np.uint8), **arrays)

    def read(self, stage: str, part: int, *columns: str) -> list[np.ndarray]:
        """Columns of the result of a part.

        Raises:
            InputError: the file is missing, damaged, or of another plan.
        """
        file = self.file(stage, part)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                plan = arrays["plan"].tobytes().hex()
                if plan == self.fingerprint:
                    return [arrays[name] for name in columns]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{file} cannot be read: {error}. Remove it, its part will be done again.") from error
        raise InputError(f"{file} belongs to the plan {plan}, not to {self.fingerprint}. Remove the folder {self.folder} "
                         "or choose another output folder.")

    def column(self, stage: str, name: str) -> np.ndarray:
        """One column of all parts of the pool."""
        return np.concatenate([self.read(stage, part, name)[0] for part in range(self.parts)])


@lru_cache(maxsize=2)
def _names(folder: str, fingerprint: str) -> Paths:
    return Paths(*(np.load(Path(folder) / f"names_{column}.npy", mmap_mode="r", allow_pickle=False)
                   for column in ("blob", "start", "stop")))


def open_work(folder, root, names: Paths, preferred: np.ndarray, options: Options, group_options: GroupOptions) -> Work:
    """Write the plan of a search, or find the same one already there.

    Args:
        folder: of the plan and of all results.
        root: folder of the pictures.
        names: paths of the pictures, relative to `root`, in the order of their bytes.
        preferred: bool [N], pictures that stay rather than others.
        options, group_options: all parameters.

    Raises:
        InputError: the folder holds another plan; the message says what differs.
    """
    folder = Path(folder)
    content = {"format": FORMAT, "images": len(names), "paths_sha256": names.sha256(),
               "preferred_sha256": hashlib.sha256(np.packbits(preferred)).hexdigest(), **asdict(options),
               "groups": asdict(group_options)}
    content = json.loads(json.dumps(content))
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    file = folder / "groups.json"
    if file.exists():
        require_same_plan(file, content, "search", f"Remove {folder}")
    else:
        for column in ("blob", "start", "stop"):
            with atomic_write(folder / f"names_{column}.npy", "wb") as out:
                np.save(out, getattr(names, column), allow_pickle=False)
        write_json(file, content)
    return Work(os.fspath(folder), os.fspath(root), digest, len(names), options, group_options)


def run_parts(work: Work, stage: str, function: Callable, tasks: Iterable[tuple], executor: Optional[Executor],
              progress: Optional[StageProgress]) -> int:
    """Do the parts of a stage that have no result yet, `function(work, part, *task)` each; returns their number.

    Args:
        work: the plan.
        stage: its name.
        function: of a module, so that it can be sent to a process; it writes the result of its part.
        tasks: further arguments of every part, in the order of the parts.
        executor: runs them; None: this process does.
        progress: called with the stage, the parts done and all parts.

    Raises:
        InputError: a worker died twice over the same part.
    """
    calls = list(enumerate(tasks))
    todo = [call for call in calls if not work.file(stage, call[0]).exists()]
    finished = run_tasks(partial(_do_part, function, work), todo, executor, lambda call: f"{stage} part {call[0]}")
    for done, _ in enumerate(finished, start=len(calls) - len(todo) + 1):
        if progress is not None:
            progress(stage, done, len(calls))
    return len(calls)


def _do_part(function: Callable, work: Work, call: tuple) -> None:
    part, task = call
    function(work, part, *task)
