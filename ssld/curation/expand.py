"""The whole curation: remove, score, select, merge - and an account of every input row."""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup.files import atomic_write, sha256_file, write_json

from ..data.manifest import Manifest
from ..device import is_main, main_first
from .columns import Scores
from .fates import Fates
from .merge import SELECTED, merge
from .selectors import Selection

_HISTOGRAM_BINS = 20
_OVERLAPS = 20                  # pairs of classes that are reported


class Lists(NamedTuple):
    """The three lists that go in."""

    pool: Manifest
    evaluation: Manifest
    labelled: Manifest


class Expansion(NamedTuple):
    """What came out: the training list, its file (None after a dry run), its folder, and the content of report.json."""

    train: Manifest
    file: Path | None
    folder: Path
    report: dict


def expand(lists: Lists, out: str | Path, remove: Callable[[Lists, Path], Fates],
           score: Callable[[Manifest, np.ndarray, Path], Scores], select: Callable[[Manifest], Selection], class_num: int,
           image_root: str | None = None, output: str = ".", origin: dict | None = None, dry_run: bool = False) -> Expansion:
    """Make a training list from labelled images and a pool.

    Writes duplicates/ (see dedup) and scores/ to `out`, and to its subfolder `output` selected.txt, selection.tsv,
    fates.tsv (what became of each row of the pool and why), train_list.txt and report.json. Started again it goes on
    where it stopped; another selection from the same scores takes seconds.

    Args:
        lists: pool, evaluation list, labelled list.
        out: output folder.
        remove: (lists, folder) -> the fates of the pool's rows.
        score: (pool, wanted rows, folder) -> Scores.
        select: the pool with the columns of its scores -> Selection.
        class_num: classes of the teacher.
        image_root: root of the training list; see `ssld.curation.merge`.
        output: subfolder for the selection and the training list.
        origin: what to note in train_list.origin.json.
        dry_run: write the account (report.json, fates.tsv, selection.tsv) and no list.
    """
    out, pool = Path(out), lists.pool
    fates = remove(lists, out / "duplicates")
    scores = score(pool, fates.having("not selected"), out / "scores")
    fates.set(scores.unreadable, "unreadable", ["could not be read while scoring"] * len(scores.unreadable))
    chosen = select(pool.with_columns(**scores.columns))
    fates.set(chosen.row, "selected")
    selected = pool.take(chosen.row)
    selected = Manifest(selected.root, selected.path, chosen.label, {"score": chosen.score, "rank": chosen.rank})
    train = merge(lists.labelled, selected, image_root)
    hashes = {name: sha256_file(m.source) for name, m in lists._asdict().items() if m.source}
    train = Manifest(train.root, train.path, train.label, train.columns, origin={**(origin or {}), "inputs": hashes})
    report = {"pool": {"lines": len(pool), **fates.counts()}, "dry_run": dry_run,
              **_report(lists, scores, chosen, fates, class_num)}
    report["image_root"] = {name: str(m.root) for name, m in {**lists._asdict(), "train": train}.items()}
    report["train_list"] = {"images": len(train), "selected": int((train.columns["source"] == SELECTED).sum())}
    with main_first():
        if is_main():
            _write(out / output, pool, selected, fates, None if dry_run else train, report)
    return Expansion(train, None if dry_run else out / output / "train_list.txt", out / output, report)


def _write(folder: Path, pool: Manifest, selected: Manifest, fates: Fates, train: Manifest | None, report: dict) -> None:
    _write_selection(folder / "selection.tsv", selected)
    fates.write(folder / "fates.tsv", pool.path)
    if train is not None:
        selected.write(folder / "selected.txt")
        train.write(folder / "train_list.txt")
    write_json(folder / "report.json", report)


def _report(lists: Lists, scores: Scores, chosen: Selection, fates: Fates, class_num: int) -> dict:
    """Copies by reason, the selection per class, and the teacher's certainty."""
    candidate = fates.having("not selected") | fates.having("selected")
    available = np.bincount(scores.columns["teacher_class"][candidate, 0], minlength=class_num)
    taken = np.bincount(chosen.label, minlength=class_num)
    labelled = np.bincount(lists.labelled.label[lists.labelled.label >= 0], minlength=class_num)
    reasons = Counter(fates.detail[row].split(" ")[0] for row in np.flatnonzero(fates.having("duplicate")).tolist())
    bins = {"bins": _HISTOGRAM_BINS, "range": (0, 1)}
    best = scores.columns["score"][candidate, 0]
    return {
        "duplicates_by_reason": dict(reasons),
        "classes": {"labelled": labelled.tolist(), "available": available.tolist(), "selected": taken.tolist(),
                    "without_any": np.flatnonzero(taken == 0).tolist(),
                    "gave_all": np.flatnonzero((taken > 0) & (taken >= available)).tolist()},
        "overlap": _overlap(scores.columns["teacher_class"], candidate, class_num),
        "score_histogram": {"edges": np.linspace(0, 1, _HISTOGRAM_BINS + 1).tolist(),
                            "scored": np.histogram(best.astype(np.float32), **bins)[0].tolist(),
                            "selected": np.histogram(chosen.score.astype(np.float32), **bins)[0].tolist()},
        "files": {name: str(m.source) for name, m in lists._asdict().items()},
    }


def _overlap(classes: np.ndarray, candidate: np.ndarray, class_num: int) -> list[list[int]]:
    """The pairs of classes that the teacher hesitates between most often: [best, second best, images], the first 20."""
    if classes.shape[1] < 2:
        return []
    pair, images = np.unique(classes[candidate, 0].astype(np.int64) * class_num + classes[candidate, 1], return_counts=True)
    first = np.lexsort((pair, -images))[:_OVERLAPS]
    return [[int(p) // class_num, int(p) % class_num, int(n)] for p, n in zip(pair[first], images[first])]


def _write_selection(file: Path, selected: Manifest) -> None:
    """path, class, probability, rank in class; by class and rank."""
    score, rank = selected.columns["score"], selected.columns["rank"]
    with atomic_write(file) as out:
        out.write("path\tclass\tprobability\trank\n")
        for row in np.lexsort((rank, selected.label)).tolist():
            out.write(f"{selected.path[row]}\t{selected.label[row]}\t{float(score[row]):.6g}\t{rank[row]}\n")
