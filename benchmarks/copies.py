"""Recall, false removals and speed of `dedup` on folders of planted copies.

Each folder holds eval.txt and pool.txt ("path" or "path label" lines, relative to the folder) and truth.csv with the
columns pool_path, eval_path and kind: the name of an edit for a copy of eval_path, "neg:..." for a picture that copies
nothing, "grey:..." for one that is debatable and not scored.

    python benchmarks/copies.py planted/seed0 planted/seed1 --out dedup_benchmark.json
"""
from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup import ReferenceIndex  # noqa: E402  (the clone's own package comes first)
from dedup.files import write_json  # noqa: E402
from dedup.lists import read_list  # noqa: E402


def measure(folder: Path, limit: int) -> dict:
    """Figures of one folder; `limit` > 0 takes every n-th pool image so that about so many are left."""
    with open(folder / "truth.csv", newline="") as file:
        truth = list(csv.DictReader(file))
    truth = truth[::max(1, len(truth) // limit) if limit else 1]
    began = time.perf_counter()
    index = ReferenceIndex.build(read_list(folder / "eval.txt").paths, root=folder)
    built, cpu_began = time.perf_counter(), time.process_time()
    result = index.match([row["pool_path"] for row in truth], folder)
    seconds, cpu_seconds = time.perf_counter() - built, time.process_time() - cpu_began
    return {**score(truth, {m.query: m for m in result.best()}), "images": len(truth), "references": len(index.names),
            "errors": len(result.errors), "build_s": round(built - began, 2),
            "images_per_s": round(len(truth) / seconds, 1), "images_per_cpu_s": round(len(truth) / cpu_seconds, 1)}


def score(truth: list[dict], blamed: dict) -> dict:
    """Recall (removed and blamed on the right image) by kind, and removals of what is no copy."""
    total, found = Counter(row["kind"] for row in truth), Counter()
    wrong, false = [], []
    for row in truth:
        match, kind = blamed.get(row["pool_path"]), row["kind"]
        if match is None:
            continue
        if ":" in kind:
            false.append([kind, match.query, match.reference, match.inliers, round(match.agreement, 3)])
        elif match.reference == row["eval_path"]:
            found[kind] += 1
        else:
            wrong.append([kind, match.query, match.reference])
    edits = sorted(kind for kind in total if ":" not in kind)
    copies = sum(total[kind] for kind in edits)
    return {"copies": copies, "recall": round(sum(found.values()) / max(copies, 1), 4),
            "recall_by_edit": {kind: round(found[kind] / total[kind], 4) for kind in edits},
            "not_copies": sum(count for kind, count in total.items() if kind.startswith("neg:")),
            "false_removals": [f for f in false if f[0].startswith("neg:")],
            "debatable_removals": [f for f in false if not f[0].startswith("neg:")], "wrongly_blamed": wrong}


def main() -> None:
    """Measure the given folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="about so many pool images per folder, default: all")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()
    figures = {str(folder): measure(folder, given.limit) for folder in given.folders}
    print(json.dumps(figures, indent=1))
    if given.out:
        write_json(given.out, figures)


if __name__ == "__main__":
    main()
