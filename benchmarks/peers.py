"""`dedup` beside two peers on the same pool images, taking turns in one run: imagededup's pHash, and SIFT by brute force.

In an environment of its own (imagededup's wheel asks for torch, which only its network method uses):

    pip install "numpy==1.24.4" "opencv-python==4.6.0.66" "matplotlib<3.9" "contourpy<1.3" \\
        faiss-cpu pillow scipy pywavelets tqdm scikit-learn
    pip install --no-deps imagededup==0.3.3
    python benchmarks/peers.py BENCH --out benchmarks/results/peers.json

BENCH is a folder of planted copies as `benchmarks/copies.py` describes it. Every rate is from file to decision, one
thread, in images per CPU second; ratios are medians over blocks. Brute force compares only a few images per block.
"""
from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import time
import types
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup import ReferenceIndex  # noqa: E402
from dedup.files import write_json  # noqa: E402
from dedup.images import decode_grey, read_bytes, working_image  # noqa: E402
from dedup.lists import read_list  # noqa: E402

_RATIO, _LEAST_INLIERS = 0.75, 10
_HAMMING = 10                   # imagededup's default


class Ours:
    """dedup with its default options."""

    name = "dedup"

    def __init__(self, folder: Path, references: list[str]):
        self.folder, self.index = folder, ReferenceIndex.build(references, root=folder)

    def __call__(self, paths: list[str]) -> dict[str, str]:
        return {m.query: m.reference for m in self.index.match(paths, self.folder).best()}


class PHash:
    """imagededup's perceptual hash of 64 bits; the nearest evaluation image within Hamming distance 10."""

    name = "pHash (imagededup)"

    def __init__(self, folder: Path, references: list[str]):
        self.folder, self.references, self.hasher = folder, references, _hasher()
        self.bits = np.stack([self._bits(path) for path in references])

    def _bits(self, path: str) -> np.ndarray:
        return np.unpackbits(np.frombuffer(bytes.fromhex(self.hasher.encode_image(str(self.folder / path))), np.uint8))

    def __call__(self, paths: list[str]) -> dict[str, str]:
        found = {}
        for path in paths:
            distance = (self.bits != self._bits(path)).sum(1)
            if distance.min() <= _HAMMING:
                found[path] = self.references[int(distance.argmin())]
        return found


class BruteForce:
    """Every pair of images: nearest SIFT descriptors with the ratio test, then a homography; most inliers win."""

    name = "SIFT by brute force"

    def __init__(self, folder: Path, references: list[str]):
        self.folder, self.references = folder, references
        self.sift, self.matcher = cv2.SIFT_create(nfeatures=500), cv2.BFMatcher()
        self.features = [self._features(path) for path in references]

    def _features(self, path: str):
        grey = working_image(decode_grey(read_bytes(self.folder / path), 256).pixels, 256, 160)
        points, descriptors = self.sift.detectAndCompute(grey, None)
        return np.float32([p.pt for p in points]), descriptors

    def __call__(self, paths: list[str]) -> dict[str, str]:
        found = {}
        for path in paths:
            query = self._features(path)
            inliers = [self._inliers(query, reference) for reference in self.features]
            if max(inliers) >= _LEAST_INLIERS:
                found[path] = self.references[int(np.argmax(inliers))]
        return found

    def _inliers(self, query, reference) -> int:
        if query[1] is None or reference[1] is None or len(reference[1]) < 2:
            return 0
        pairs = self.matcher.knnMatch(query[1], reference[1], k=2)
        good = [a for a, b in pairs if a.distance < _RATIO * b.distance]
        if len(good) < 4:
            return 0
        source, target = query[0][[m.queryIdx for m in good]], reference[0][[m.trainIdx for m in good]]
        _, mask = cv2.findHomography(source, target, cv2.RANSAC, 5.0)
        return 0 if mask is None else int(mask.sum())


def _hasher():
    """imagededup's PHash, without what imports torch for its network method."""
    import imagededup

    methods, models = (types.ModuleType(f"imagededup.{name}") for name in ("methods", "utils.models"))
    methods.__path__ = [str(Path(imagededup.__file__).parent / "methods")]
    models.CustomModel = None
    sys.modules.update({module.__name__: module for module in (methods, models)})
    from imagededup.methods.hashing import PHash as Hasher
    return Hasher(verbose=False)


def measure(folder: Path, blocks: int, block: int, brute: int) -> dict:
    """Rates, ratios and recall of the three on `blocks` blocks of `block` images, `brute` of each for brute force."""
    with open(folder / "truth.csv", newline="") as file:
        rows = list(csv.DictReader(file))[:blocks * block]
    truth = {row["pool_path"]: row for row in rows}
    references = list(read_list(folder / "eval.txt").paths)
    methods = [kind(folder, references) for kind in (Ours, PHash, BruteForce)]
    seconds, judged = defaultdict(list), {m.name: [0, 0, 0, 0] for m in methods}
    paths = list(truth)
    for start in range(0, len(paths), block):
        for number in range(len(methods)):      # another one begins in each block
            method = methods[(start // block + number) % len(methods)]
            part = paths[start:start + block][:brute if isinstance(method, BruteForce) else block]
            began = time.process_time()
            found = method(part)
            seconds[method.name].append((time.process_time() - began) / len(part))
            _judge(judged[method.name], part, found, truth)
    ours = seconds["dedup"]
    return {"evaluation_images": len(references), "pool_images": len(paths), "brute_force_images": brute * blocks, "methods": {
        name: {"images_per_cpu_s": round(1 / statistics.median(times), 1),
               "dedup_takes_times_as_long": round(statistics.median(o / t for o, t in zip(ours, times)), 3),
               **dict(zip(("copies", "found", "others", "falsely_removed"), judged[name]))}
        for name, times in seconds.items()}}


def _judge(tally: list, part: list[str], found: dict, truth: dict) -> None:
    for path in part:
        kind = truth[path]["kind"]
        if ":" not in kind:
            tally[0] += 1
            tally[1] += found.get(path) == truth[path]["eval_path"]
        elif kind.startswith("neg:"):
            tally[2] += 1
            tally[3] += path in found


def main() -> None:
    """Measure one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--block", type=int, default=50, help="pool images in a block")
    parser.add_argument("--brute", type=int, default=3, help="of them compared by brute force")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    figures = measure(given.folder, given.blocks, given.block, given.brute)
    print(json.dumps(figures, indent=1))
    if given.out:
        write_json(given.out, {"command": " ".join(sys.argv), **figures})


if __name__ == "__main__":
    main()
