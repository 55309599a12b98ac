"""What does it save that a process keeps the memory that it frees (ssld.device.keep_memory)?

    python benchmarks/keep_memory.py --out benchmarks/results/keep_memory.json

Forward passes of a ResNet50_vd by oneDNN, training steps of two students, and joining 64 pictures to a batch, all at 224 px and
with one thread, in processes with and without, which take turns. Milliseconds of CPU time (user + system), medians over rounds.
"""
from __future__ import annotations

import argparse
import resource
import statistics
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import paddle
from paddle.nn import functional as F
from reading import cpu_model

from dedup.files import write_json
from ssld.device import keep_memory
from ssld.models.zoo import build_network
from ssld.teachers.onednn import OneDNNEngine, runs_bf16

BATCH, CLASSES = 16, 1000


def tasks() -> dict:
    image = paddle.to_tensor(np.random.default_rng(0).random((BATCH, 3, 224, 224), np.float32))
    label = paddle.zeros([BATCH], "int64")
    pictures = [np.zeros((3, 224, 224), np.float32) for _ in range(64)]
    found = {"joining 64 pictures": lambda: np.stack(pictures)}
    for precision in ("fp32", "bf16")[:1 + runs_bf16()]:
        engine = OneDNNEngine(build_network("ResNet50_vd", CLASSES), precision, 1)
        found[f"ResNet50_vd, oneDNN {precision}"] = lambda engine=engine: engine(image)
    for name in ("MobileNetV3_small_x0_35", "ResNet18"):
        found[f"training step of {name}"] = step(name, image, label)
    return found


def step(name: str, image, label):
    network = build_network(name, CLASSES)
    optimizer = paddle.optimizer.Momentum(0.01, parameters=network.parameters())

    def run() -> None:
        F.cross_entropy(network(image), label).backward()
        optimizer.step()
        optimizer.clear_grad()
    return run


def cpu_ms(task, times: int = 2) -> float:
    task()
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(times):
        task()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / times


def measured(keep: bool) -> dict[str, float]:
    """In a process of its own: memory that was kept once is there for whoever comes after."""
    keep_memory(keep)
    paddle.base.core.set_num_threads(1)
    return {name: cpu_ms(task) for name, task in tasks().items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    found = defaultdict(list)
    for _ in range(args.rounds):
        for keep in (False, True):
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                for name, ms in pool.submit(measured, keep).result().items():
                    found[name, keep].append(ms)
    result = {}
    for name in dict.fromkeys(name for name, _ in found):
        given, kept = (statistics.median(found[name, keep]) for keep in (False, True))
        result[name] = {"given_back_ms": round(given, 2), "kept_ms": round(kept, 2), "ratio": round(kept / given, 3)}
        print(name, result[name])
    write_json(Path(args.out), {"batch": BATCH, "rounds": args.rounds, "cpu": cpu_model(), "paddle": paddle.__version__,
                                "cpu_ms": result})


if __name__ == "__main__":
    main()
