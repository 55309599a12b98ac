"""Does reading overlap with the training step?

    python benchmarks/overlap.py IMAGES --out benchmarks/results/overlap.json

IMAGES is a folder of JPEG files. A small student at 224 px and batches of 8: reading alone, training alone on one batch,
and both, without and with a worker process. "wait" is the time that training waits for a batch after the first one, which
nothing can overlap with; "cpu" is that of this process, without its worker. The few batches that the loader holds ready are
read during the first step, which is left out: take many more steps than that. Milliseconds per step, medians over rounds;
wall time depends on what else the machine does.
"""
from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import paddle
from paddle.nn import functional as F

from dedup.files import write_json
from ssld.data.dataset import ManifestDataset
from ssld.data.loader import Loader, StepSampler
from ssld.data.manifest import Manifest
from ssld.data.transforms import build_transforms
from ssld.models.zoo import build_network

OPS = ["DecodeImage", {"RandCropImage": {"size": 224}}, "RandFlipImage", "AutoAugment", "NormalizeImage", "ToCHWImage"]
STUDENT, BATCH = "MobileNetV3_small_x0_35", 8


def dataset_of(folder: Path, limit: int) -> ManifestDataset:
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:limit]
    with tempfile.TemporaryDirectory() as scratch:
        lines = [f"{file.relative_to(folder)} {number % 1000}\n" for number, file in enumerate(files)]
        (Path(scratch) / "list.txt").write_text("".join(lines))
        return ManifestDataset(Manifest.read(f"{scratch}/list.txt", str(folder)), build_transforms(OPS, "benchmark"))


class Training:
    """One step of a small student."""

    def __init__(self):
        self.network = build_network(STUDENT, 1000)
        self.optimizer = paddle.optimizer.Momentum(0.01, parameters=self.network.parameters())

    def __call__(self, batch: dict) -> None:
        loss = F.cross_entropy(self.network(batch["image"]), batch["label"])
        loss.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        float(loss)


def run(batches, step) -> dict:
    """Milliseconds per step: wall, CPU of this process, and waiting; the first batch and its step are left out."""
    step(next(batches))
    began, cpu, waited, count = time.perf_counter(), time.process_time(), 0.0, 0
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        waited += time.perf_counter() - asked
        if batch is None:
            break
        step(batch)
        count += 1
    return {"wall": 1000 * (time.perf_counter() - began) / count, "cpu": 1000 * (time.process_time() - cpu) / count,
            "wait": 1000 * waited / count}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    dataset, train = dataset_of(args.images, 512), Training()
    sampler = StepSampler(len(dataset), BATCH)

    def batches(workers: int):
        return Loader(dataset, sampler, workers).batches(0, args.steps + 1)
    fixed = next(batches(0))
    kinds = {"reading alone": lambda: run(batches(0), lambda batch: None),
             "training alone": lambda: run(iter([fixed] * (args.steps + 1)), train),
             "both": lambda: run(batches(0), train),
             "both, one worker": lambda: run(batches(1), train)}
    found = defaultdict(list)
    for _ in range(args.rounds):
        for name, measure in kinds.items():
            found[name].append(measure())
    result = {name: {key: round(statistics.median(row[key] for row in rows), 1) for key in rows[0]}
              for name, rows in found.items()}
    write_json(Path(args.out), {"student": STUDENT, "batch": BATCH, "steps": args.steps, "rounds": args.rounds,
                                "paddle": paddle.__version__, "ms_per_step": result})
    for name, row in result.items():
        print(f"{name:17} {row}")


if __name__ == "__main__":
    main()
