"""The teacher's opinion of every image of a pool: its best classes, their probabilities, and pooled features."""
from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from paddle.io import Dataset

from dedup.files import write_json
from dedup.images import ImageError
from dedup.lists import Paths
from dedup.workers.executors import run_tasks

from ..arrays import write_arrays
from ..checks import fraction, positive_int
from ..data.dataset import Visit
from ..data.loader import in_order
from ..data.manifest import Manifest, describe_rows
from ..data.transforms import Compose
from ..device import is_main, rank, wait_for_all, world_size
from ..errors import InputError
from ..outputs import log_softmax
from ..progress import Progress
from ..teachers.engines import Engine
from .columns import Scores, collect, read_part

PLAN = "plan.json"
_COLUMNS = ("teacher_class", "score", "feature")


class Scorer(NamedTuple):
    """What scores images: `transform` (file -> array) and `teacher`, whose outputs beyond `class_num` are features."""

    transform: Compose
    teacher: Engine
    class_num: int


class Task(NamedTuple):
    """One shard: its number, the part to write, the rows of the pool still to score, and their images."""

    shard: int
    part: str
    rows: np.ndarray
    images: Manifest


def score(pool: Manifest, wanted: np.ndarray, open_scorer: Callable[[], Scorer], out: str | Path, plan: dict, top: int = 1,
          batch_size: int = 64, shard_size: int = 10_000, num_workers: int = 0, max_bad_fraction: float = 0.05,
          executor: Executor | None = None) -> Scores:
    """Run a frozen network over the wanted rows of a pool and keep its `top` best classes per image.

    The pool is cut into shards by position. A shard's result, `part-00000.npz` with "row", "teacher_class", "score",
    "feature" and "unreadable", appears whole or not at all. Starting again computes what is missing, so further rows
    may be wanted later. Processes of paddle.distributed.launch share the shards; an executor runs them elsewhere.

    Args:
        pool: the whole list.
        wanted: bool [N], the rows to score.
        open_scorer: makes the Scorer; called once in every process that scores, so it must pickle for an executor.
        out: folder of the parts, and of the columns made of them.
        plan: what the scores depend on (list, weights, transforms); another plan refuses the parts of this one.
        top: classes kept per image.
        batch_size: images per forward pass; incomplete batches are filled up, so that no score depends on neighbours.
        shard_size: rows per part; no result depends on it.
        num_workers: processes that read images, for each process that scores.
        max_bad_fraction: unreadable images above this share of the wanted ones are an error, in [0, 1].
        executor: runs shards instead of this process.

    Raises:
        InputError: nothing wanted, `out` holds scores of another plan, an answer that is not finite, or more unreadable
            images than allowed.
    """
    out, wanted = Path(out), np.asarray(wanted, bool)
    if not wanted.any():
        raise InputError(f"no image of {pool.source} is left to score: all of them are copies, labelled already or "
                         "unreadable. See errors.tsv and removed.tsv of the removal.")
    positive_int("Score.top", top), positive_int("Score.shard_size", shard_size)
    fraction("Score.max_bad_fraction", max_bad_fraction)
    if is_main():
        _claim(out, {**plan, "rows": len(pool), "top": top, "shard_size": shard_size})
    wait_for_all()
    parts = [out / f"part-{shard:05d}.npz" for shard in range(-(-len(pool) // shard_size))]
    progress = Progress("scored", int(wanted.sum()), quiet=not is_main())
    run = partial(score_shard, open_scorer, top=top, batch_size=batch_size, num_workers=num_workers)
    tasks = _tasks(pool, wanted, parts, shard_size)
    if executor is not None:
        finished = (task for task, _ in run_tasks(run, tasks, executor))
    else:
        mine = (task for task in tasks if task.shard % world_size() == rank())
        finished = (task for task in mine if run(task, progress=progress) or True)
    for task in finished:
        progress.update(int(wanted[:(task.shard + 1) * shard_size].sum()))
    wait_for_all()
    scores = collect(out, parts, wanted, top)
    _check_unreadable(pool, scores.unreadable, wanted, max_bad_fraction)
    return scores


def _tasks(pool: Manifest, wanted: np.ndarray, parts: Sequence[Path], shard_size: int) -> Iterator[Task]:
    """The shards with rows that are wanted and were not tried yet."""
    for shard, part in enumerate(parts):
        rows = shard * shard_size + np.flatnonzero(wanted[shard * shard_size:(shard + 1) * shard_size])
        if part.exists():
            known = read_part(part)
            rows = np.setdiff1d(rows, np.concatenate([known["row"], known["unreadable"]]))
        if len(rows):
            images = pool.take(rows)
            yield Task(shard, str(part), rows, replace(images, path=Paths.of(list(images.path)), columns={}, origin={}))


def score_shard(open_scorer: Callable[[], Scorer], task: Task, top: int, batch_size: int, num_workers: int = 0,
                progress: Progress | None = None) -> int:
    """Score the images of one task and add them to its part; returns how many were read. Safe to repeat anywhere."""
    scorer = open_scorer()
    found = score_images(task.images, scorer, top, batch_size, num_workers,
                         lambda done: progress and progress.update(int(task.rows[done - 1]) + 1))
    for name in ("row", "unreadable"):
        found[name] = task.rows[found[name]]
    part = Path(task.part)
    if part.exists():
        found = _joined(read_part(part), found)
    write_arrays(part, found)
    return len(found["row"])


def score_images(images: Manifest, scorer: Scorer, top: int, batch_size: int, num_workers: int = 0,
                 progress: Callable[[int], None] = lambda done: None) -> dict[str, np.ndarray]:
    """The scores of every readable image of a list.

    Returns:
        "row" int64 [n], "teacher_class" [n, top] int16 (int32 beyond 32,767 classes), "score" float16 [n, top], "feature"
        float16 [n, D] (D = 0 for a teacher without features), and "unreadable" int64 [m]. Classes of equal probability
        are ordered by number.
    """
    nothing = np.zeros((0, top), _class_type(scorer.class_num)), np.zeros((0, top), np.float16), np.zeros((0, 0), np.float16)
    rows, columns, unreadable, done = [np.zeros(0, np.int64)], [], [np.zeros(0, np.int64)], 0
    for batch in in_order(_Images(images, scorer.transform), batch_size, num_workers=num_workers):
        readable, index = batch["readable"].numpy().astype(bool), batch["index"].numpy()
        unreadable.append(index[~readable])
        done += len(readable)
        if not readable.any():
            continue
        outputs = scorer.teacher(_filled(batch["image"], batch_size))[:len(readable)]
        probabilities = log_softmax(outputs[:, :scorer.class_num]).exp().numpy()
        features = outputs[:, scorer.class_num:].numpy()
        if not (np.isfinite(probabilities).all() and np.isfinite(features).all()):
            raise InputError(f"the teacher's answer for {images.place(int(index[0]))} or its neighbours is "
                             "not finite. Are its weights whole, and its transforms those it was trained with?")
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        scores = np.take_along_axis(probabilities, best, 1).astype(np.float16)
        rows.append(index[readable])
        columns.append([c[readable] for c in (best.astype(nothing[0].dtype), scores, _half(features))])
        progress(done)
    found = [np.concatenate(column) for column in zip(*columns)] or nothing
    return {"row": np.concatenate(rows), "unreadable": np.concatenate(unreadable),
            **dict(zip(_COLUMNS, found))}


class _Images(Dataset):
    """The images of a list; one that cannot be read is blank and says so."""

    def __init__(self, manifest: Manifest, transform: Compose):
        super().__init__()
        self.manifest, self.transform = manifest, transform
        images = (self._read(row) for row in range(len(manifest)))
        first = next((image for image in images if image is not None), np.zeros((3, 32, 32), np.float32))
        self.blank = np.zeros_like(first)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, visit: Visit) -> dict[str, np.ndarray]:
        image = self._read(visit.row)
        return {"image": self.blank if image is None else image, "index": np.int64(visit.row),
                "readable": np.int64(image is not None)}

    def _read(self, row: int) -> np.ndarray | None:
        try:
            return self.transform(self.manifest.file(row), np.random.default_rng(0))
        except (ImageError, OSError):
            return None


def _joined(known: dict, found: dict) -> dict[str, np.ndarray]:
    """Two results of one shard as one; a result without a readable image does not know how many features there are."""
    both, telling = [known, found], [result for result in (known, found) if len(result["row"])] or [known]
    return {name: np.concatenate([result[name] for result in (telling if name in _COLUMNS else both)]) for name in found}


def _filled(image: paddle.Tensor, batch_size: int) -> paddle.Tensor:
    """A whole batch: kernels may round differently for other batch sizes."""
    missing = batch_size - len(image)
    return paddle.concat([image, image[-1:].expand([missing, *image.shape[1:]])]) if missing else image


def _class_type(class_num: int) -> type:
    return np.int16 if class_num <= np.iinfo(np.int16).max else np.int32


def _half(features: np.ndarray) -> np.ndarray:
    """As float16; what is larger than it can hold becomes its largest."""
    largest = np.finfo(np.float16).max
    return np.clip(features, -largest, largest).astype(np.float16)


def _claim(out: Path, plan: dict) -> None:
    """Write the plan, or compare it with the one that is there."""
    file = out / PLAN
    if file.exists():
        earlier = json.loads(file.read_text())
        changed = [key for key in sorted(plan.keys() | earlier.keys()) if plan.get(key) != earlier.get(key)]
        if changed:
            raise InputError(f"{out} holds scores of other inputs: {changed[0]} was {earlier.get(changed[0])!r}, now it is "
                             f"{plan.get(changed[0])!r}. Remove {out} to score again, or choose another output_dir.")
    else:
        write_json(file, plan)


def _check_unreadable(pool: Manifest, rows: np.ndarray, wanted: np.ndarray, limit: float) -> None:
    if not len(rows):
        return
    if len(rows) > limit * wanted.sum():
        raise InputError(f"{len(rows)} of {wanted.sum()} images cannot be read, more than max_bad_fraction {limit} allows:"
                         f"{describe_rows(pool, rows)}\nRepair or remove them, or raise max_bad_fraction.")
    if is_main():
        print(f"warning: {len(rows)} images cannot be read; they are left out:{describe_rows(pool, rows)}", file=sys.stderr)
