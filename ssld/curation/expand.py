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
from .duplicates import Cleaned
from .merge import SELECTED, merge
from .selectors import Selection

FATES = ("selected", "not selected", "duplicate", "labelled", "unreadable")
_HISTOGRAM_BINS = 20


class Lists(NamedTuple):
    """The three lists that go in."""

    pool: Manifest
    evaluation: Manifest
    labelled: Manifest


class Expansion(NamedTuple):
    """What came out: the training list, its file, and the report as written to report.json."""

    train: Manifest
    file: Path
    report: dict


def expand(lists: Lists, out: str | Path, remove: Callable[[Lists, Path], Cleaned],
           score: Callable[[Manifest, Path], tuple[Manifest, dict[str, str]]], select: Callable[[Manifest], Selection],
           class_num: int, image_root: str | None = None, output: str = ".", origin: dict | None = None) -> Expansion:
    """Make a training list from labelled images and a pool.

    Writes duplicates/ (see dedup) and scores/ to `out`, and to its subfolder `output` selected.txt, selection.tsv,
    fates.tsv (what became of each row of the pool and why), train_list.txt and report.json. Started again it goes on
    where it stopped; another selection from the same scores takes seconds.

    Args:
        lists: pool, evaluation list, labelled list.
        out: output folder.
        remove: (lists, folder) -> the pool without copies.
        score: (pool, folder) -> rows with the teacher's classes and scores, and the unreadable ones.
        select: scored rows -> Selection.
        class_num: classes of the teacher.
        image_root: root of the training list; see `ssld.curation.merge`.
        output: subfolder for the selection and the training list.
        origin: what to note in train_list.origin.json.
    """
    out = Path(out)
    cleaned = remove(lists, out / "duplicates")
    scored, unreadable = score(cleaned.pool, out / "scores")
    fates = {**cleaned.fates, **{path: ("unreadable", reason) for path, reason in unreadable.items()}}
    chosen = select(scored)
    selected = scored.take(chosen.row)
    selected = Manifest(selected.root, selected.path, chosen.label, {"score": chosen.score, "rank": chosen.rank})
    train = merge(lists.labelled, selected, image_root)
    hashes = {name: sha256_file(m.source) for name, m in lists._asdict().items() if m.source}
    train = Manifest(train.root, train.path, train.label, train.columns, origin={**(origin or {}), "inputs": hashes})
    report = _report(lists, cleaned, scored, chosen, fates, class_num)
    report["files"] = {name: str(m.source) for name, m in lists._asdict().items()}
    report["image_root"] = {name: str(m.root) for name, m in {**lists._asdict(), "train": train}.items()}
    report["train_list"] = {"images": len(train), "selected": int((train.columns["source"] == SELECTED).sum())}
    with main_first():
        if is_main():
            _write(out / output, lists.pool, selected, fates, train, report)
    return Expansion(train, out / output / "train_list.txt", report)


def _write(folder: Path, pool: Manifest, selected: Manifest, fates: dict, train: Manifest, report: dict) -> None:
    selected.write(folder / "selected.txt")
    _write_selection(folder / "selection.tsv", selected)
    _write_fates(folder / "fates.tsv", pool, fates, set(selected.path))
    train.write(folder / "train_list.txt")
    write_json(folder / "report.json", report)


def _report(lists: Lists, cleaned: Cleaned, scored: Manifest, chosen: Selection, fates: dict, class_num: int) -> dict:
    """The account of the pool's rows, and the selection per class."""
    counts = Counter(fate for fate, _ in fates.values())
    images = len(np.unique(chosen.row))
    pool = {"lines": len(lists.pool), "repeated": cleaned.repeated, "selected": images,
            "not selected": len(scored) - images, **{fate: counts[fate] for fate in FATES[2:]}}
    if pool["lines"] != sum(count for name, count in pool.items() if name != "lines"):
        raise RuntimeError(f"the account of the pool does not add up: {pool}; please report this")
    best = scored.columns["teacher_class"][:, 0] if len(scored) else np.zeros(0, int)
    score = scored.columns["score"][:, 0].astype(np.float64) if len(scored) else np.zeros(0)
    available, taken = np.bincount(best, minlength=class_num), np.bincount(chosen.label, minlength=class_num)
    labelled = np.bincount(lists.labelled.label[lists.labelled.label >= 0], minlength=class_num)
    return {
        "pool": pool,
        "duplicates_by_reason": dict(Counter(detail.split(" ")[0] for fate, detail in fates.values() if fate == "duplicate")),
        "classes": {"labelled": labelled.tolist(), "available": available.tolist(), "selected": taken.tolist(),
                    "without_any": np.flatnonzero(taken == 0).tolist()},
        "score_histogram": {"edges": np.linspace(0, 1, _HISTOGRAM_BINS + 1).tolist(),
                            "scored": np.histogram(score, _HISTOGRAM_BINS, (0, 1))[0].tolist(),
                            "selected": np.histogram(chosen.score.astype(np.float64), _HISTOGRAM_BINS, (0, 1))[0].tolist()},
    }


def _write_selection(file: Path, selected: Manifest) -> None:
    """path, class, probability, rank in class; by class and rank."""
    score, rank = selected.columns["score"], selected.columns["rank"]
    with atomic_write(file) as out:
        out.write("path\tclass\tprobability\trank\n")
        for row in np.lexsort((rank, selected.label)):
            out.write(f"{selected.path[row]}\t{selected.label[row]}\t{float(score[row]):.6g}\t{rank[row]}\n")


def _write_fates(file: Path, pool: Manifest, fates: dict, selected: set) -> None:
    """path, fate, detail of every path of the pool, in its order."""
    seen: set[str] = set()
    with atomic_write(file) as out:
        out.write("path\tfate\tdetail\n")
        for path in pool.path:
            if path not in seen:
                fate, detail = fates.get(path) or ("selected" if path in selected else "not selected", "")
                out.write(f"{path}\t{fate}\t{detail}\n")
                seen.add(path)
