"""How long is an epoch with stored soft labels, beside supervised training and beside a live teacher?

    python benchmarks/fkd_epoch.py IMAGES --out benchmarks/results/fkd_epoch.json

IMAGES is a folder of JPEG files. Whole steps at 224 px, reading included: supervised (random crop, flip, labels), stored labels
with m = 4, and a live teacher run by oneDNN (float32, and bfloat16 where the CPU has it). Reading and training share one core,
as where readers cannot keep up; every kind sees the same number of crops, so the ratio of times per crop is that of epochs.
"read" is the share of reading in a supervised step. The kinds take turns; wall and CPU seconds of the process, medians over
rounds.
"""
from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import defaultdict
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import paddle
from random_labels import CLASSES, KEPT, jpeg_list, random_store
from reading import cpu_model

from dedup.files import write_json
from ssld.data.dataset import ManifestDataset, Visit
from ssld.data.replay import ReplayDataset
from ssld.data.transforms import build_transforms
from ssld.device import keep_memory
from ssld.distiller import Distiller, Term
from ssld.methods.ce import CELoss
from ssld.methods.soft_ce import SoftCELoss
from ssld.models.zoo import build_network
from ssld.softlabels.labels import StoredLabels
from ssld.teachers.live import LiveTeacher
from ssld.teachers.onednn import OneDNNEngine, runs_bf16
from ssld.teachers.stored import StoredTeacher

OPS = ["DecodeImage", {"RandCropImage": {"size": 224}}, "RandFlipImage", "NormalizeImage", "ToCHWImage"]
PAIRS = {"SmallResNet": "ResNet50_vd", "MobileNetV3_small_x0_35": "ResNet50_vd", "MobileNetV3_large_x1_0": "ResNet50_vd",
         "ResNet18": "ResNet34"}
OPTIONS = {"SmallResNet": {"depth": 8, "width": 8, "stem_stride": 4}}           # 54 000 weights
BATCH, M = 16, 4


class Kind:
    """One way to train: reads a batch, and takes a step on it."""

    def __init__(self, dataset: ManifestDataset, m: int, student: str, teacher, term):
        self.dataset, self.m, self.visits = dataset, m, 0
        self.order = cycle(np.random.default_rng(0).permutation(len(dataset)).tolist())
        self.model = Distiller(build_network(student, CLASSES, **OPTIONS.get(student, {})), teacher, [Term(term)])
        self.optimizer = paddle.optimizer.Momentum(0.01, parameters=self.model.parameters())
        self.model.train()

    def read(self) -> dict:
        samples = [self.dataset[Visit(next(self.order), self.visits, self.m)] for _ in range(BATCH // self.m)]
        self.visits += self.m
        if self.m > 1:
            batch = self.dataset.join(samples)
        else:
            batch = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
        return {name: paddle.to_tensor(value) for name, value in batch.items()}

    def step(self, batch: dict) -> None:
        losses = self.model(batch)
        losses.total.backward()
        self.optimizer.step()
        self.optimizer.clear_grad()
        float(losses.total)


def timed(kind: Kind, steps: int) -> dict:
    """Milliseconds per crop."""
    wall, cpu, reading = time.perf_counter(), time.process_time(), 0.0
    for _ in range(steps):
        began = time.process_time()
        batch = kind.read()
        reading += time.process_time() - began
        kind.step(batch)
    scale = 1000 / (steps * BATCH)
    return {"wall": scale * (time.perf_counter() - wall), "cpu": scale * (time.process_time() - cpu), "read": scale * reading}


def kinds_of(student: str, teacher: str, images, store) -> dict[str, Kind]:
    transform = build_transforms(OPS, "benchmark")
    labels = StoredLabels(store, np.arange(len(images)), "random", "marginal_smoothing", KEPT)
    plain = ManifestDataset(images, transform)
    kinds = {"supervised": Kind(plain, 1, student, None, CELoss()),
             "stored": Kind(ReplayDataset(images, transform, labels), M, student, StoredTeacher(store), SoftCELoss())}
    for precision in ("fp32", "bf16")[:1 + runs_bf16()]:
        engine = OneDNNEngine(build_network(teacher, CLASSES), precision)
        kinds[f"live, {precision}"] = Kind(plain, 1, student, LiveTeacher(engine), SoftCELoss())
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="of each kind in a round")
    parser.add_argument("--students", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    args = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    paddle.base.core.set_num_threads(1)
    keep_memory()                                           # as a run does
    images, result = jpeg_list(args.images), {}
    with tempfile.TemporaryDirectory() as scratch:
        store = random_store(images, Path(scratch) / "store", 64)
        for student in args.students:
            kinds, found = kinds_of(student, PAIRS[student], images, store), defaultdict(list)
            for kind in kinds.values():
                timed(kind, 2)                              # programs are made, memory is taken
            for _ in range(args.rounds):
                for name, kind in kinds.items():
                    found[name].append(timed(kind, args.steps))
            medians = {name: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
                       for name, rows in found.items()}
            result[student] = summary(PAIRS[student], medians)
            print(student, result[student], flush=True)
    write_json(Path(args.out), {"images": len(images), "batch": BATCH, "crops_per_image": M, "rounds": args.rounds,
                                "steps": args.steps, "cpu": cpu_model(), "paddle": paddle.__version__, "pairs": result})


def summary(teacher: str, medians: dict) -> dict:
    """Times, and the stored kind's as shares of the others'."""
    share = {f"stored / {name}": {key: round(medians["stored"][key] / row[key], 3) for key in ("wall", "cpu")}
             for name, row in medians.items() if name != "stored"}
    alone = medians["supervised"]
    return {"teacher": teacher, "read_share_of_supervised": round(alone["read"] / alone["cpu"], 3), **share,
            "ms_per_crop": {name: {key: round(value, 2) for key, value in row.items()} for name, row in medians.items()}}


if __name__ == "__main__":
    main()
