"""What an orthonormal projection costs: forward and backward pass of its matrix, and of the dense solve in its place.

    python benchmarks/orthogonal.py --out benchmarks/results/orthogonal.json
    python benchmarks/orthogonal.py --out square.json --d-s 256 --d-t 256

The alternatives take turns in one process; figures are medians over rounds of CPU seconds (all threads) and wall seconds, and
how many times as fast as the dense solve they are. One untimed round comes first. Every matrix is checked to be
orthonormal within 1e-5.

Alternatives:
    dense         Cayley's map of the [n, n] skew-symmetric matrix, n = max(d_s, d_t), by a solve of n equations
    householder, cayley, exp      those of `ssld.models.orthogonal`
    trivialized   householder with a fixed orthogonal [n, n] in front
"""
from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import paddle
from reading import cpu_model

from dedup.files import write_json
from ssld import __version__, device
from ssld.models.orthogonal import MAPS, OrthogonalProjection

_ORTHONORMAL = 1e-5


class DenseCayley:
    """(I - A/2)^-1 (I + A/2) E with all n x n elements of A."""

    def __init__(self, d_s: int, d_t: int):
        rows, columns = max(d_s, d_t), min(d_s, d_t)
        spread = d_s ** -0.5
        self.free = paddle.uniform([rows, columns], "float32", -spread, spread)
        self.free.stop_gradient = False

    def matrix(self):
        rows, columns = self.free.shape
        lower = paddle.concat([paddle.tril(self.free), paddle.zeros([rows, rows - columns])], axis=1)
        skew, one = (lower - lower.T) / 2, paddle.eye(rows)
        return paddle.linalg.solve(one - skew, one + skew)[:, :columns]


def alternatives(d_s: int, d_t: int) -> dict:
    """Name -> something with `free` and `matrix()`."""
    return {"dense": DenseCayley(d_s, d_t), **{name: OrthogonalProjection(d_s, d_t, name) for name in MAPS},
            "trivialized": OrthogonalProjection(d_s, d_t, trivialize=True)}


def pass_of(projection) -> tuple[float, float]:
    """CPU and wall seconds of one forward and backward pass."""
    began = time.process_time(), time.perf_counter()
    projection.matrix().square().sum().backward()
    spent = time.process_time() - began[0], time.perf_counter() - began[1]
    projection.free.clear_grad()
    return spent


def error_of(projection) -> float:
    """max |W^T W - I| of the tall matrix."""
    matrix = projection.matrix().numpy().astype(np.float64)
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return float(np.abs(matrix.T @ matrix - np.eye(matrix.shape[1])).max())


def measure(d_s: int, d_t: int, rounds: int) -> dict:
    """Medians, ratios and errors of each alternative."""
    paddle.seed(0)
    projections, times = alternatives(d_s, d_t), defaultdict(list)
    for number in range(rounds + 1):
        for name, projection in projections.items():
            spent = pass_of(projection)
            times[name] += [spent] if number else []
    medians = {name: [statistics.median(each) for each in zip(*pairs)] for name, pairs in times.items()}
    result = {}
    for name, (cpu, wall) in medians.items():
        error = error_of(projections[name])
        assert error < _ORTHONORMAL, f"{name} is not orthonormal: {error}"
        result[name] = {"cpu_s": round(cpu, 5), "wall_s": round(wall, 5), "error": error,
                        "times_faster_cpu": round(medians["dense"][0] / cpu, 1),
                        "times_faster_wall": round(medians["dense"][1] / wall, 1)}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--d-s", type=int, default=192, help="width of the student (DeiT-Ti)")
    parser.add_argument("--d-t", type=int, default=3024, help="width of the teacher (RegNetY-16GF)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    device.start("cpu")
    paddle.base.core.set_num_threads(args.threads)
    result = measure(args.d_s, args.d_t, args.rounds)
    write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": cpu_model(), "threads": args.threads,
                          "load_average": os.getloadavg()[0], "d_s": args.d_s, "d_t": args.d_t, "rounds": args.rounds,
                          "alternatives": result})
    for name, row in result.items():
        print(f"{name:12} {row}")


if __name__ == "__main__":
    main()
