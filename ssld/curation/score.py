"""The teacher's opinion of every image of a pool: its best classes and their probabilities."""
from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle.distributed as dist

from dedup.files import write_json

from ..arrays import read_arrays, write_arrays
from ..checks import positive_int
from ..data.dataset import READABLE, UnreadableImages
from ..data.loader import in_order
from ..data.manifest import Manifest
from ..device import is_main, rank, world_size
from ..errors import InputError
from ..methods import log_softmax
from ..progress import Progress
from ..teachers.engines import Engine

PLAN = "plan.json"


def score(dataset, teacher: Engine, out: str | Path, plan: dict, top: int = 1, batch_size: int = 64,
          shard_size: int = 10_000, num_workers: int = 0) -> tuple[Manifest, dict[str, str]]:
    """Run a frozen network over a list and keep its `top` best classes per image.

    The list is cut into shards by position. A shard's result, `part-00000.npz` with "row", "teacher_class" and
    "score", appears whole or not at all; starting again computes what is missing. Several processes share the shards.

    Args:
        dataset: a ManifestDataset in the teacher's evaluation view.
        teacher: images -> logits.
        out: folder of the parts.
        plan: what the scores depend on (list, weights, transforms); another plan refuses the parts of this one.
        top: classes kept per image.
        batch_size: images per forward pass.
        shard_size: rows per part; no result depends on it.

    Returns:
        The readable rows with columns "teacher_class" int32 [N, top] and "score" float16 [N, top], best first; and
        path -> reason of the unreadable ones.

    Raises:
        InputError: an empty list, `out` holds scores of another plan, an answer that is not finite, or more unreadable
            images than the dataset allows.
    """
    out, manifest = Path(out), dataset.manifest
    if not len(manifest):
        raise InputError(f"no image of {manifest.source} is left to score: all of them are copies, labelled already or "
                         "unreadable. See errors.tsv and removed.tsv of the removal.")
    positive_int("Score.top", top), positive_int("Score.shard_size", shard_size)
    shards = range(-(-len(manifest) // shard_size))
    if is_main():
        _claim(out, {**plan, "rows": len(manifest), "top": top, "shard_size": shard_size})
    if world_size() > 1:
        dist.barrier()
    progress = Progress("scored", len(manifest), quiet=not is_main())
    for shard in shards[rank()::world_size()]:
        if not _part(out, shard).exists():
            rows = np.arange(shard * shard_size, min((shard + 1) * shard_size, len(manifest)))
            arrays = score_rows(_Rows(dataset, rows), teacher, top, batch_size, num_workers,
                                lambda done, first=rows[0]: progress.update(int(first) + done))
            write_arrays(_part(out, shard), arrays)
    if world_size() > 1:
        dist.barrier()
    scored, unread = _collect(out, shards, manifest)
    for place in UnreadableImages(dataset).update(unread):
        print(f"warning: {place} cannot be read; it is left out", file=sys.stderr)
    return scored, {manifest.path[int(row)]: "could not be read while scoring" for row in unread}


def score_rows(dataset, teacher: Engine, top: int, batch_size: int, num_workers: int = 0,
               progress=lambda done: None) -> dict[str, np.ndarray]:
    """The scores of every readable image of `dataset`: "row" int64 [n], "teacher_class" int32, "score" float16 [n, top].

    Classes of equal probability are ordered by number.
    """
    found, done = [], 0
    for batch in in_order(dataset, batch_size, num_workers=num_workers):
        readable = batch["unreadable"].numpy() == READABLE
        probabilities = log_softmax(teacher(batch["image"])).exp().numpy()
        if not np.isfinite(probabilities).all():
            raise InputError(f"the teacher's answer for {dataset.manifest.place(int(batch['index'].numpy()[0]))} or its "
                             "neighbours is not finite. Are its weights whole, and its transforms those it was trained with?")
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top]
        found.append((batch["index"].numpy()[readable], best[readable],
                      np.take_along_axis(probabilities, best, 1)[readable]))
        done += len(readable)
        progress(done)
    rows, classes, scores = (np.concatenate(parts) for parts in zip(*found))
    return {"row": rows, "teacher_class": classes.astype(np.int32), "score": scores.astype(np.float16)}


class _Rows:
    """Some rows of a dataset, which keep their numbers."""

    def __init__(self, dataset, rows: np.ndarray):
        self.dataset, self.rows, self.manifest = dataset, rows, dataset.manifest

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, visit):
        return self.dataset[visit._replace(row=int(self.rows[visit.row]))]


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


def _part(out: Path, shard: int) -> Path:
    return out / f"part-{shard:05d}.npz"


def _collect(out: Path, shards: Sequence[int], manifest: Manifest) -> tuple[Manifest, np.ndarray]:
    """All parts as columns of the rows that were scored; the other rows, int64."""
    parts = []
    for shard in shards:
        try:
            parts.append(read_arrays(_part(out, shard)))
        except InputError as error:
            raise InputError(f"{error} Remove it; the next run scores it again.") from error
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    order = np.argsort(columns["row"], kind="stable")
    columns = {name: column[order] for name, column in columns.items()}
    rows = columns.pop("row")
    scored = manifest.take(rows).with_columns(**columns)
    unread = np.setdiff1d(np.arange(len(manifest)), rows)
    return scored, unread

