"""Pictures of a pool that are in use already: files with the same bytes as one of another list."""
from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Optional

import numpy as np

from .digests import UNREADABLE, read_digests, sha256_of, write_digests
from .images import ImageError, read_bytes
from .match import Match
from .paths import Paths
from .source import Source
from .workers.executors import run_tasks

_PER_TASK = 10_000


def same_files(digests: Iterable[np.ndarray], names: Paths, known: Source, folder: Path,
               executor: Optional[Executor]) -> Iterator[Match]:
    """The pictures of a pool whose bytes are those of a known file, blamed on the smallest path, in the pool's order.

    Args:
        digests: of the pool, "S32", in parts.
        names: of the pool.
        known: the other list.
        folder: keeps the digests of the other list.
        executor: reads the other list.
    """
    others = digests_of(known, folder, executor)
    order = np.argsort(others, kind="stable")
    others, row = others[order], 0
    for part in digests:
        first = np.searchsorted(others, part, "left")
        last = np.searchsorted(others, part, "right")
        for place in np.flatnonzero((last > first) & (part != b"")).tolist():
            name = min(known.paths[r] for r in order[first[place]:last[place]].tolist())
            yield Match(names[row + place], name, "listed", 0, 1.0, 0, None, None, False)
        row += len(part)


def digests_of(source: Source, folder: Path, executor: Optional[Executor]) -> np.ndarray:
    """Digests of all files of a list, "S32" [N]; kept in `folder` by blocks, so that this goes on after a kill.

    A block is named by the digest of its paths, so that another list never finds the blocks of this one.
    """
    blocks = [source.paths[start:start + _PER_TASK] for start in range(0, len(source.paths), _PER_TASK)]
    files = [folder / f"{block.sha256()}.sha256" for block in blocks]
    todo = ((os.fspath(file), list(block)) for file, block in zip(files, blocks) if not file.exists())
    for _ in run_tasks(partial(_digest_block, source.root), todo, executor):
        pass
    return np.concatenate([read_digests(file) for file in files])


def _digest_block(root: str, block: tuple[str, list[str]]) -> None:
    file, names = block
    write_digests(Path(file), (_digest(os.path.join(root, name)) for name in names))


def _digest(path: str) -> bytes:
    try:
        return sha256_of(read_bytes(path))
    except ImageError:
        return UNREADABLE
