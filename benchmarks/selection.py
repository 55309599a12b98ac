"""Time and memory of the selectors on a large scored pool, and whether top_k picks what its definition says.

    python benchmarks/selection.py --rows 14000000 --classes 1000 --top 10 --k 4000 --out selection.json

Makes memory-mapped columns of invented scores (softmax of random logits as float16, so that many are equal) and paths in
random order. Each selector runs in a process of its own. For some classes the choice is compared with one sorted in
Python by score and path, and what "once" keeps with a plain rule on what "repeat" chose.

Memory: `peak_rss_mb` counts the pages of the mapped files, which the system takes back when it needs them;
`peak_anonymous_mb` is what the process itself needs, sampled every 5 ms, and `start_anonymous_mb` what it needed before
(interpreter, libraries).
"""
from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup.files import write_json  # noqa: E402  (the clone's own package comes first)
from dedup.lists import Paths  # noqa: E402
from ssld.curation.selectors import SELECTORS  # noqa: E402
from ssld.data.manifest import Manifest  # noqa: E402

BLOCK = 1 << 18
FOLDER_IMAGES = 641             # images per folder of the invented pool, as in ImageNet-22k
MULTIPLIER = 2_654_435_761      # a prime above any row count here, so that row -> number is a permutation


def make(folder: Path, rows: int, classes: int, top: int, seed: int) -> None:
    """Write the columns and paths of an invented pool to `folder`, a block at a time."""
    columns = {name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, (rows, top))
               for name, dtype in (("teacher_class", np.int16), ("score", np.float16))}
    start, stop = (np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.int64, (rows,)) for name in ("start", "stop"))
    rng, position = np.random.default_rng(seed), 0
    with open(folder / "blob.bin", "wb") as blob:
        for first in range(0, rows, BLOCK):
            row = np.arange(first, min(first + BLOCK, rows))
            here = slice(first, first + len(row))
            columns["teacher_class"][here], columns["score"][here] = invented_scores(rng, len(row), classes, top)
            text, lengths = invented_paths(row.astype(np.uint64) * np.uint64(MULTIPLIER) % np.uint64(rows))
            stop[here] = position + np.cumsum(lengths)
            start[here] = stop[here] - lengths
            blob.write(text)
            position += len(text)


def invented_scores(rng, count: int, classes: int, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes [n, P], low numbers far commoner, -1 for one row in 20; the P largest of a softmax, often 1.0."""
    first = (classes * rng.random(count) ** 4).astype(np.int64)
    steps = rng.integers(1, max(2, classes // top), (count, top))
    steps[:, 0] = first
    label = steps.cumsum(1) % classes
    label[rng.random(count) < 0.05] = -1
    logits = np.sort(rng.normal(0, 1, (count, top)) * rng.uniform(0, 20, (count, 1)), axis=1)[:, ::-1]
    odds = np.exp(logits - logits[:, :1])
    rest = (classes - top) * odds[:, -1] * 0.01        # what the classes beyond the best P have together
    return label, odds / (odds.sum(1) + rest)[:, None]


def invented_paths(number: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Text and lengths of "n01234567/n01234567_89.JPEG" for each number."""
    folder, image = number // np.uint64(FOLDER_IMAGES), number % np.uint64(FOLDER_IMAGES)
    parts = [b"n", digits(folder, 8), b"/n", digits(folder, 8), b"_", digits(image, 3), b".JPEG"]
    text = np.concatenate([np.broadcast_to(np.frombuffer(p, np.uint8), (len(number), len(p))) if isinstance(p, bytes) else p
                           for p in parts], axis=1)
    used = np.ones(text.shape, bool)
    used[:, 20] = image >= 100                          # no leading zeros in the image's number
    used[:, 21] = image >= 10
    return text[used].tobytes(), used.sum(1)


def digits(number: np.ndarray, width: int) -> np.ndarray:
    """Decimal digits as uint8 characters [n, width]."""
    powers = np.uint64(10) ** np.arange(width - 1, -1, -1, dtype=np.uint64)
    return (number[:, None] // powers % np.uint64(10)).astype(np.uint8) + ord("0")


def load(folder: Path) -> Manifest:
    """The invented pool, memory-mapped."""
    start, stop = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("start", "stop"))
    paths = Paths(np.memmap(folder / "blob.bin", np.uint8, "r"), start, stop)
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("teacher_class", "score")}
    return Manifest(folder, paths, np.broadcast_to(np.int64(-1), len(paths)), columns)


def anonymous_mb() -> float:
    """Memory of this process that no file backs."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def run(folder: Path, selector: str, options: dict, out: Path) -> dict:
    """Select once and measure; the choice goes to `out`."""
    manifest, done, start = load(folder), threading.Event(), anonymous_mb()
    peak = [start]

    def watch():
        while not done.wait(0.005):
            peak[0] = max(peak[0], anonymous_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    chosen = SELECTORS.get(selector, "benchmark")(manifest, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    np.savez(out, **chosen._asdict())
    return {"selector": selector, **options, "chosen": len(chosen.row), "seconds": round(wall, 1), "cpu_seconds": round(cpu, 1),
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "peak_anonymous_mb": round(peak[0]), "start_anonymous_mb": round(start)}


def in_a_process(folder: Path, selector: str, options: dict, out: Path) -> tuple[dict, dict]:
    """(figures, choice) of `run` in a fresh interpreter."""
    command = [sys.executable, __file__, "--child", json.dumps([str(folder), selector, options, str(out)])]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    print(figures, flush=True)
    with np.load(out, allow_pickle=False) as stored:
        return figures, {name: stored[name] for name in stored.files}


def differing_classes(manifest: Manifest, chosen: dict, classes: np.ndarray, k: int) -> list[int]:
    """Those of `classes` whose rows in `chosen`, by rank, are not the k first when sorted by score and path."""
    wanted = {int(label): [] for label in classes}
    for first in range(0, len(manifest), BLOCK):
        label, score = (manifest.columns[name][first:first + BLOCK] for name in ("teacher_class", "score"))
        for row, place in zip(*np.nonzero(np.isin(label, classes))):
            wanted[int(label[row, place])].append((-float(score[row, place]), first + int(row)))
    differing = []
    for label, entries in wanted.items():
        entries = sorted((negative, manifest.path.bytes(row), row) for negative, row in entries)
        mine = np.flatnonzero(chosen["label"] == label)
        mine = chosen["row"][mine[np.argsort(chosen["rank"][mine])]]
        if mine.tolist() != [row for *_, row in entries[:k]]:
            differing.append(label)
    return differing


def listed_once(repeat: dict) -> dict:
    """Of every row in `repeat` the entry of the highest score, or of those the smallest class."""
    order = np.lexsort((repeat["label"], -repeat["score"].astype(np.float32), repeat["row"]))
    _, first = np.unique(repeat["row"][order], return_index=True)
    return {name: column[order[first]] for name, column in repeat.items()}


def measure(folder: Path, args: argparse.Namespace) -> dict:
    """Make the pool, run the selectors, compare."""
    began = time.perf_counter()
    make(folder, args.rows, args.classes, args.top, args.seed)
    print(f"pool made in {time.perf_counter() - began:.0f} s", flush=True)
    once_figures, once = in_a_process(folder, "top_k", {"k": args.k}, folder / "once.npz")
    repeat_figures, repeat = in_a_process(folder, "top_k", {"k": args.k, "multi": "repeat"}, folder / "repeat.npz")
    random_figures, _ = in_a_process(folder, "random", {"count": len(once["row"])}, folder / "random.npz")
    classes = np.random.default_rng(args.seed).choice(args.classes, min(args.checked, args.classes), replace=False)
    differing = differing_classes(load(folder), repeat, classes, args.k)
    expected = listed_once(repeat)
    return {"rows": args.rows, "classes": args.classes, "top": args.top, "k": args.k, "seed": args.seed,
            "runs": [once_figures, repeat_figures, random_figures],
            "chosen_with_an_equal_in_class": round(1 - len(np.unique(repeat["label"] << 16 | repeat["score"].view(np.uint16)))
                                                   / len(repeat["row"]), 4),
            "classes_compared": len(classes), "classes_that_differ": differing,
            "once_equals_the_plain_rule": all(np.array_equal(once[name], expected[name]) for name in once)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=14_000_000)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--top", type=int, default=10, help="stored classes per image")
    parser.add_argument("--k", type=int, default=4000, help="images per class")
    parser.add_argument("--checked", type=int, default=20, help="classes compared with a plain sort")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        folder, selector, options, out = args.child
        print(json.dumps(run(Path(folder), selector, options, Path(out))))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), args)
    print(json.dumps(figures, indent=1))
    if args.out:
        write_json(args.out, figures)


if __name__ == "__main__":
    main()
