"""How long an exported static model takes for one picture and for eight, beside the network run eagerly.

    python benchmarks/static_model.py --out benchmarks/results/static_model.json

inference.json as `ssld export` writes it, run by paddle.inference with oneDNN in float32, and in bfloat16 where the CPU has
it; student.onnx and student_int8.onnx run by ONNX Runtime where `pip install .[export]` was done. The ways take turns in one
process, so that whatever else the machine does hits all of them; the figures are medians of the wall time of a call, from
normalised pictures to logits, and of its CPU seconds (all threads), with their ratios to eager execution. `ready_s` is what
passes until a process that has imported everything has its first answer: loading the files, and a first call. Random weights;
random pictures in memory, which also set the batch-norm statistics, and on which int8 is calibrated.
"""
from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
from engines import measure, network_of
from step import processor

from dedup.files import write_json
from ssld import __version__, device
from ssld.errors import InputError
from ssld.export.comparison import network_logits
from ssld.export.inference import PREFIX, export_inference
from ssld.export.int8 import INT8, export_int8
from ssld.export.onnx import ONNX, convert, onnx_program
from ssld.export.packages import need_packages
from ssld.teachers.engines import spread_difference
from ssld.teachers.onednn import OneDNNProgram, runs_bf16

NETWORKS = (("ResNet50_vd", 224), ("MobileNetV3_large_x1_0", 224), ("SmallResNet", 64))
BATCHES = (1, 8)
_CALIBRATION = 32           # pictures


def write_all(network, folder: Path, size: int) -> dict[str, Callable]:
    """Export a network in every form that this machine can run; name -> what opens it."""
    export_inference(network, folder, (size, size))
    ways = {"onednn_fp32": lambda: OneDNNProgram(folder / PREFIX)}
    if runs_bf16():
        ways["onednn_bf16"] = lambda: OneDNNProgram(folder / PREFIX, precision="bf16")
    try:
        need_packages("int8")
    except InputError as error:
        print(f"without ONNX: {error}")
        return ways
    convert(folder / PREFIX, folder / ONNX)
    export_int8(folder / ONNX, folder / INT8, pictures(_CALIBRATION, size))
    for name, file in (("onnx", ONNX), ("onnx_int8", INT8)):
        ways[name] = lambda file=file: onnx_program(folder / file, classes_of(network, size))
    return ways


def pictures(count: int, size: int) -> np.ndarray:
    """Normalised noise."""
    return np.random.default_rng(0).standard_normal((count, 3, size, size)).astype(np.float32)


def classes_of(network, size: int) -> int:
    return network_logits(network, pictures(1, size)).shape[1]


def opened(open_way: Callable, image: np.ndarray) -> tuple[Callable, float]:
    """A way to run the network, and the seconds until its first answer."""
    began = time.perf_counter()
    run = open_way()
    run(image)
    return run, time.perf_counter() - began


def run_network(name: str, size: int, rounds: int) -> dict:
    """Calls of one network by each way and batch size."""
    network = network_of(name, size)
    with tempfile.TemporaryDirectory(prefix="ssld-static-") as folder:
        found = {way: opened(open_way, pictures(1, size)) for way, open_way in write_all(network, Path(folder), size).items()}
        runs = {"eager": lambda image: network_logits(network, image), **{way: run for way, (run, _) in found.items()}}
        batches = {str(count): time_batch(runs, pictures(count, size), rounds) for count in BATCHES}
        files = {file.name: file.stat().st_size for file in sorted(Path(folder).iterdir())}
    return {"network": name, "size": size, "bytes": files, "ready_s": {way: ready for way, (_, ready) in found.items()},
            "batches": batches}


def time_batch(runs: dict[str, Callable], image: np.ndarray, rounds: int) -> dict:
    """Medians of a call of each way, their ratios to eager's, and how far the answers are from eager's."""
    found, expected = measure({way: lambda run=run: run(image) for way, run in runs.items()}, rounds), runs["eager"](image)
    for way, run in runs.items():
        found[way].update(wall_ratio=found[way]["wall_s"] / found["eager"]["wall_s"],
                          cpu_ratio=found[way]["cpu_s"] / found["eager"]["cpu_s"],
                          images_per_s=len(image) / found[way]["wall_s"], difference=spread_difference(run(image), expected))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--networks", nargs="+", default=[name for name, _ in NETWORKS], help="some of the networks only")
    args = parser.parse_args()
    device.start("cpu")
    networks = []
    for name, size in NETWORKS:
        if name not in args.networks:
            continue
        networks.append(run_network(name, size, args.rounds))
        for count, found in networks[-1]["batches"].items():
            times = ", ".join(f"{way} {1000 * each['wall_s']:.1f}" for way, each in found.items())
            print(f"{name}, {size} px, batch {count}, ms: {times}", flush=True)
        write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": processor(),
                              "threads": device.cpu_threads(), "rounds": args.rounds, "networks": networks})


if __name__ == "__main__":
    main()
