"""How much faster a frozen teacher runs through paddle.inference with oneDNN than eagerly, and what a whole step gains.

    python benchmarks/engines.py --out benchmarks/results/engines.json

The alternatives take turns in one process, so that whatever else the machine does hits all of them; the figures are
medians of CPU seconds (all threads) and of wall time, and their ratios. Random weights, pictures in memory.
"""
from __future__ import annotations

import argparse
import platform
import statistics
import time
from pathlib import Path

import paddle

from dedup.files import write_json
from ssld import __version__, device
from ssld.distiller import Distiller, Term
from ssld.methods.js import JSDivLoss
from ssld.models.zoo import build_network
from ssld.teachers.engines import EagerEngine, OneDNNEngine
from ssld.teachers.live import LiveTeacher

PAIRS = (("ResNet34", "ResNet18", 64, 32), ("ResNet50_vd", "MobileNetV3_large_x1_0", 224, 8),
         ("ResNet50_vd", "MobileNetV3_small_x0_35", 224, 8))
ENGINES = {"eager": EagerEngine, "onednn_fp32": OneDNNEngine}


def measure(alternatives: dict, rounds: int, discard: int = 2) -> dict:
    """Median CPU and wall seconds of each alternative, called in turn; the first rounds are discarded."""
    cpu, wall = ({name: [] for name in alternatives} for _ in range(2))
    for number in range(rounds + discard):
        for name, call in alternatives.items():
            cpu_began, wall_began = time.process_time(), time.perf_counter()
            call()
            if number >= discard:
                cpu[name].append(time.process_time() - cpu_began)
                wall[name].append(time.perf_counter() - wall_began)
    return {name: {"cpu_s": statistics.median(cpu[name]), "wall_s": statistics.median(wall[name])} for name in alternatives}


def step_of(distiller: Distiller, batch: dict):
    """One training step of a distiller as a function."""
    optimizer = paddle.optimizer.Momentum(0.01, parameters=distiller.student.parameters())

    def step():
        loss = distiller(batch).total
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        float(loss)
    return step


def run_pair(teacher: str, student: str, size: int, batch_size: int, rounds: int) -> dict:
    """Forward passes of the teacher alone, and whole distillation steps, with each engine."""
    image = paddle.randn([batch_size, 3, size, size])
    network = build_network(teacher, 1000)
    engines = {name: engine(network) for name, engine in ENGINES.items()}
    steps = {}
    for name, engine in engines.items():
        distiller = Distiller(build_network(student, 1000), LiveTeacher(engine), [Term(JSDivLoss())])
        distiller.train()
        steps[name] = step_of(distiller, {"image": image})
    answers = {name: engine(image).numpy() for name, engine in engines.items()}
    difference = abs(answers["eager"] - answers["onednn_fp32"]).max() / abs(answers["eager"]).max()
    result = {"teacher": teacher, "student": student, "size": size, "batch": batch_size,
              "largest_difference": float(difference),
              "forward": measure({name: lambda e=engine: e(image) for name, engine in engines.items()}, rounds),
              "step": measure(steps, rounds)}
    for what in ("forward", "step"):
        result[what]["cpu_ratio"] = result[what]["onednn_fp32"]["cpu_s"] / result[what]["eager"]["cpu_s"]
        result[what]["wall_ratio"] = result[what]["onednn_fp32"]["wall_s"] / result[what]["eager"]["wall_s"]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    device.start("cpu")
    pairs = []
    for pair in PAIRS:
        pairs.append(run_pair(*pair, args.rounds))
        print(f"{pair[0]} -> {pair[1]}, {pair[2]} px: forward {pairs[-1]['forward']['cpu_ratio']:.2f}, step "
              f"{pairs[-1]['step']['cpu_ratio']:.2f} of the CPU time of eager", flush=True)
        write_json(Path(args.out), {"ssld": __version__, "paddle": paddle.__version__, "cpu": platform.processor(),
                                    "threads": device.cpu_threads(), "rounds": args.rounds, "pairs": pairs})


if __name__ == "__main__":
    main()
