"""Where the time of `ReferenceIndex.match` goes: CPU milliseconds per picture and stage, on a folder of planted copies.

    python benchmarks/cost.py planted/seed0 --out benchmarks/results/cost.json

The folder is one `benchmarks/copies.py` reads. The functions of `dedup` are wrapped where they are, so the real pipeline
runs; a stage's time excludes that of the stages inside it. Copies and other pictures are listed apart, because a real pool
is mostly the latter. Everything runs in one thread; means add up to the total, medians ignore disturbances.
"""
from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))   # before numpy
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup import ReferenceIndex, descriptors, index, matcher, picture, sift, verify, voting  # noqa: E402
from dedup.files import write_json  # noqa: E402
from dedup.lists import read_list  # noqa: E402

STAGES = {
    "read": (index, "read_bytes"), "decode": (picture, "decode_grey"), "resize": (picture, "working_image"),
    "detect": (sift, "detect"), "select": (sift, "select"), "describe": (descriptors, "compute"),
    "hash": (picture.hashes, "reduce"), "hash quality": (picture.hashes, "quality"),
    "hash frequencies": (picture.hashes, "coefficients"), "thumbnail": (picture, "thumbnail"),
    "mean colour": (picture, "mean_colour"), "hash search": (matcher.Matcher, "_hash_hits"),
    "descriptor search": (voting, "nearest"), "votes": (voting.Votes, "candidates"), "match": (verify, "mutual_matches"),
    "match along a map": (verify, "guided_matches"), "RANSAC": (verify.cv2, "estimateAffine2D"),
    "agreement": (verify, "agreement"), "verify, the rest": (matcher, "verify"),
    "everything else": (ReferenceIndex, "match"),
}


class Clock:
    """CPU time of the running thread, charged to the innermost stage that runs."""

    def __init__(self):
        self.spent: Counter = Counter()
        self.running: list[str] = []
        self.since = time.thread_time()

    def charge(self) -> None:
        """Charge what has passed since the last call."""
        now = time.thread_time()
        if self.running:
            self.spent[self.running[-1]] += now - self.since
        self.since = now

    def wrap(self, stage: str, owner, name: str) -> None:
        """Let `owner.name` charge its time to `stage`."""
        function = getattr(owner, name)

        def timed(*args, **kwargs):
            self.charge()
            self.running.append(stage)
            try:
                return function(*args, **kwargs)
            finally:
                self.charge()
                self.running.pop()
        setattr(owner, name, timed)


def measure(folder: Path, limit: int) -> dict[str, list[Counter]]:
    """CPU seconds by stage of every n-th picture, so that there are about `limit`: copies, and others."""
    with open(folder / "truth.csv", newline="") as file:
        truth = list(csv.DictReader(file))
    references = ReferenceIndex.build(read_list(folder / "eval.txt").paths, root=folder)
    clock, spent = Clock(), {"copies": [], "others": []}
    for stage, (owner, name) in STAGES.items():
        clock.wrap(stage, owner, name)
    for row in truth[::max(1, len(truth) // limit)]:
        clock.spent = Counter()
        references.match([row["pool_path"]], folder)
        spent["others" if ":" in row["kind"] else "copies"].append(clock.spent)
    return spent


def summary(spent: list[Counter]) -> dict:
    """Number of pictures, pictures per CPU second, and mean and median milliseconds of every stage."""
    total = [sum(s.values()) for s in spent]
    return {"pictures": len(spent), "pictures_per_cpu_s": round(len(spent) / sum(total), 1),
            "ms": {stage: _milliseconds([s[stage] for s in spent]) for stage in STAGES} | {"total": _milliseconds(total)}}


def _milliseconds(seconds: list[float]) -> dict:
    return {"mean": round(1000 * statistics.mean(seconds), 3), "median": round(1000 * statistics.median(seconds), 3)}


def main() -> None:
    """Print the table and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=800, help="about so many pool images")
    parser.add_argument("--out", type=Path, help="JSON file for the table")
    given = parser.parse_args()
    table = {kind: summary(spent) for kind, spent in measure(given.folder, given.limit).items()}
    print(f"{'mean / median ms':20s}" + "".join(f"{kind:>20s}" for kind in table))
    for stage in [*STAGES, "total"]:
        cells = (table[kind]["ms"][stage] for kind in table)
        print(f"{stage:20s}" + "".join(f"{c['mean']:12.2f} /{c['median']:6.2f}" for c in cells))
    print({kind: table[kind]["pictures_per_cpu_s"] for kind in table}, "pictures per CPU second")
    if given.out:
        write_json(given.out, table)


if __name__ == "__main__":
    main()
