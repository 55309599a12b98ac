"""Pair precision, pair recall and cost of finding duplicates inside folders of planted copies.

Each folder holds truth.csv with the columns pool_path, kind and group: pool pictures of one group are duplicates of each
other. A pair counts as found when both pictures end up in one group. Pictures of a kind "grey:..." are left out.

    python benchmarks/groups.py planted/seed0 planted/seed1 --out groups.json
"""
from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup.files import write_json  # noqa: E402  (the clone's own package comes first)
from dedup.within.groups import find_duplicates  # noqa: E402
from dedup.within.work import GroupOptions  # noqa: E402


def read_truth(folder: Path, groups: int) -> list[dict]:
    """Rows of the scored pictures; `groups` > 0 takes about so many groups, and all of synthetic pictures."""
    with open(folder / "truth.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["kind"].startswith("grey:")]
    synthetic = ("neg:flat", "neg:noise", "neg:grid", "neg:text")
    others = sorted({int(row["group"]) for row in rows if row["kind"] not in synthetic})
    chosen = set(others[::max(1, len(others) // groups) if groups else 1])
    return [row for row in rows if row["kind"] in synthetic or int(row["group"]) in chosen]


class Stopwatch:
    """CPU seconds of this process by stage, from the calls of `progress`."""

    def __init__(self):
        self.seconds, self.last = Counter(), time.process_time()

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.process_time()
        self.seconds[stage] += now - self.last
        self.last = now


def measure(folder: Path, groups: int, options: GroupOptions) -> dict:
    """Figures of one folder."""
    truth = read_truth(folder, groups)
    stopwatch = Stopwatch()
    with tempfile.TemporaryDirectory() as work:
        found = find_duplicates([row["pool_path"] for row in truth], folder, work, group_options=options,
                                progress=stopwatch)
    ms = {stage: round(1000 * seconds / len(truth), 3) for stage, seconds in stopwatch.seconds.items()}
    return {**score(truth, {m.query: m.reference for m in found.matches}), "images": len(truth), "sources": found.sources,
            "unreadable": found.unreadable, "pairs": found.pairs, "cpu_ms_per_image": ms}


def score(truth: list[dict], stays: dict) -> dict:
    """Pairs of one true group against pairs of one found group; `stays` says who stays in the place of whom."""
    found: dict = {}
    for row in truth:
        found.setdefault(stays.get(row["pool_path"], row["pool_path"]), []).append(row)
    sizes = Counter(row["group"] for row in truth)
    wanted = sum(n * (n - 1) // 2 for n in sizes.values())
    together, false, split = 0, [], Counter()
    for members in found.values():
        same = Counter(row["group"] for row in members)
        right = sum(n * (n - 1) // 2 for n in same.values())
        if right < len(members) * (len(members) - 1) // 2:
            false += [[a["kind"], b["kind"], a["pool_path"], b["pool_path"]]
                      for a, b in combinations(members, 2) if a["group"] != b["group"]]
        together += right
        split.update(row["kind"] for row in members if len(members) == 1 and sizes[row["group"]] > 1)
    return {"pairs_wanted": wanted, "pair_recall": round(together / max(wanted, 1), 4),
            "pair_precision": round(together / max(together + len(false), 1), 5),
            "groups": sum(len(members) > 1 for members in found.values()),
            "groups_wanted": sum(n > 1 for n in sizes.values()), "left_alone": dict(split.most_common()), "false_pairs": false}


def main() -> None:
    """Measure the given folders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--groups", type=int, default=0, help="about so many groups per folder, default: all")
    parser.add_argument("--keypoints", type=int, default=GroupOptions.keypoints, help="per picture, for the search")
    parser.add_argument("--sources", default=",".join(GroupOptions.sources), help="default: hash,sift")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    given = parser.parse_args()
    options = GroupOptions(sources=tuple(given.sources.split(",")), keypoints=given.keypoints)
    figures = {str(folder): measure(folder, given.groups, options) for folder in given.folders}
    print(json.dumps(figures, indent=1))
    if given.out:
        write_json(given.out, figures)


if __name__ == "__main__":
    main()
