"""How much faster a frozen network runs through paddle.inference with oneDNN than eagerly, and how far the answers agree.
ResNets also as an ONNX file through ONNX Runtime (pip install .[onnx] onnx), where that is installed.

    python benchmarks/engines.py --out benchmarks/results/engines.json

The engines take turns in one process, so that whatever else the machine does hits all of them; the figures are medians of
CPU seconds (all threads) and of wall time of a forward pass, and their ratios to eager execution. Random weights; random
pictures in memory, which also set the batch-norm statistics. Whole training steps are in step.py.
"""
from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
import time
from pathlib import Path

import paddle
from step import ENGINES, processor

from dedup.files import write_json
from ssld import __version__, device
from ssld.models.zoo import build_network
from ssld.teachers.agreement import measure_agreement
from ssld.teachers.engines import spread_difference
from ssld.teachers.onednn import runs_bf16

NETWORKS = (("ResNet34", 64, 32), ("ResNet50_vd", 224, 8), ("MobileNetV3_large_x1_0", 224, 8))
_SETTLING = 3               # batches that batch norm sees before its statistics are used


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


def network_of(name: str, size: int):
    """A network of random weights whose statistics are those of random pictures."""
    paddle.seed(0)
    network = build_network(name, 1000)
    with paddle.no_grad():
        for _ in range(_SETTLING):
            network(paddle.randn([8, 3, size, size]))
    return network


def onnx_engine(network):
    """The same network in evaluation mode as an ONNX file."""
    from onnx_resnet import write_resnet

    from ssld.teachers.onnx import OnnxEngine

    with tempfile.TemporaryDirectory() as folder:
        write_resnet(network, Path(folder) / "network.onnx")
        return OnnxEngine(Path(folder) / "network.onnx", network.class_num)


def run_network(name: str, size: int, batch_size: int, names: list[str], rounds: int) -> dict:
    """Forward passes of one network by each engine."""
    network, image = network_of(name, size), paddle.randn([batch_size, 3, size, size])
    engines = {engine: ENGINES[engine](network) for engine in names}
    if name.startswith("ResNet") and all(map(importlib.util.find_spec, ("onnx", "onnxruntime"))):
        engines["onnx"] = onnx_engine(network)
    found = measure({engine: lambda run=run: run(image) for engine, run in engines.items()}, rounds)
    for engine, run in engines.items():
        found[engine].update(
            cpu_ratio=found[engine]["cpu_s"] / found["eager"]["cpu_s"],
            wall_ratio=found[engine]["wall_s"] / found["eager"]["wall_s"],
            difference=spread_difference(run(image).numpy(), engines["eager"](image).numpy()),
            agreement=measure_agreement(run, engines["eager"], [image])._asdict())
    return {"network": name, "size": size, "batch": batch_size, "engines": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    device.start("cpu")
    names = [name for name in ENGINES if name != "onednn_bf16" or runs_bf16()]
    networks = []
    for network in NETWORKS:
        networks.append(run_network(*network, names, args.rounds))
        ratios = ", ".join(f"{name} {found['cpu_ratio']:.2f}" for name, found in networks[-1]["engines"].items())
        print(f"{network[0]}, {network[1]} px: CPU time relative to eager: {ratios}", flush=True)
        write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": processor(),
                              "threads": device.cpu_threads(), "rounds": args.rounds, "networks": networks})


if __name__ == "__main__":
    main()
