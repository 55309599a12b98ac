"""What does it save that slices are copies on a CPU, and not views (ssld.device.copy_slices)?

    python benchmarks/slices.py --out benchmarks/results/slices.json

Training steps of transformers and of a convolutional network with one thread, with views and with copies in turn. Milliseconds
of CPU time, medians over rounds.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import paddle
from paddle.nn import functional as F
from reading import cpu_model

from dedup.files import write_json
from ssld.device import copy_slices, keep_memory
from ssld.models.zoo import build_network

NETWORKS = {"SmallSwin, 64 px, batch 32": ("SmallSwin", {}, 64, 32),
            "SwinTransformer_tiny_patch4_window7_224, batch 4": ("SwinTransformer_tiny_patch4_window7_224", {}, 224, 4),
            "ViT_S_16, batch 4": ("ViT_S_16", {}, 224, 4), "ResNet18, batch 4": ("ResNet18", {}, 224, 4)}


def step(name: str, options: dict, size: int, batch: int):
    network = build_network(name, 1000, **options)
    image = paddle.to_tensor(np.random.default_rng(0).random((batch, 3, size, size), np.float32))
    label = paddle.zeros([batch], "int64")

    def run() -> None:
        F.cross_entropy(network(image), label).backward()
        network.clear_gradients()
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    keep_memory()
    paddle.base.core.set_num_threads(1)
    result = {}
    for name, options in NETWORKS.items():
        run, found = step(*options), defaultdict(list)
        for round_ in range(args.rounds + 1):
            for copies in (False, True):
                copy_slices(copies)
                before = time.process_time()
                run()
                if round_:                                      # the first round warms up
                    found[copies].append(1000 * (time.process_time() - before))
        views, copied = (statistics.median(found[copies]) for copies in (False, True))
        result[name] = {"views_ms": round(views, 1), "copies_ms": round(copied, 1), "ratio": round(copied / views, 3)}
        print(name, result[name], flush=True)
    write_json(Path(args.out), {"rounds": args.rounds, "cpu": cpu_model(), "paddle": paddle.__version__, "cpu_ms": result})


if __name__ == "__main__":
    main()
