"""What a Fix stage saves by computing each image's features once, instead of in every epoch.

    python benchmarks/fixres.py IMAGES --list val_list.txt --out benchmarks/results/fixres.json

IMAGES is a folder of pictures, LIST its `path label` lines. A fifth of them is evaluated on, the others are trained on.
The ways take turns in one run; each run is a process of its own, whose CPU seconds (all threads) and wall time are counted
from its start to its end, imports, networks and reading of images included. Random weights: the time does not depend on
them. The classifiers that the ways end with are compared with that of the uncached one, and so are their accuracies.
"""
from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import paddle
import yaml

from dedup.files import write_json
from ssld import __version__
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.train.runlog import read_events

WAYS = {"uncached": {"cache_features": False}, "cached": {}, "cached_onednn": {"features_engine": "onednn_fp32"}}


def config(args, folder: Path, classes: int) -> dict:
    """A Fix stage on the two lists of `folder`."""
    ops = ["DecodeImage", {"ResizeImage": {"resize_short": args.size}}, {"CropImage": {"size": args.size}}, "NormalizeImage",
           "ToCHWImage"]

    def loader(name: str) -> dict:
        dataset = {"image_root": str(Path(args.images).resolve()), "cls_label_path": str(folder / f"{name}.txt"),
                   "transform_ops": ops}
        return {"dataset": dataset, "sampler": {"batch_size": args.batch}}

    return {"Global": {"device": "cpu", "epochs": args.epochs, "fix_resolution": True, "eval_interval": args.eval_interval,
                       "save_interval": args.epochs, "print_batch_step": 1000},
            "Arch": {"student": {"name": args.network, "class_num": classes, "pretrained": str(folder / "start"),
                                 "trainable": ["classifier"]}},
            "Loss": {"Train": [{"CELoss": {}}]},
            "Optimizer": {"lr": {"learning_rate": 0.001, "warmup_epoch": 0}, "regularizer": {"name": "L2", "coeff": 2.0e-5}},
            "DataLoader": {"Train": loader("train"), "Eval": loader("val")}}


def prepare(args, folder: Path) -> dict:
    """The two lists, the student's first weights and the config."""
    lines = Path(args.images, args.list).read_text().splitlines(keepends=True)[:args.limit]
    (folder / "val.txt").write_text("".join(lines[::5]))
    (folder / "train.txt").write_text("".join(line for place, line in enumerate(lines) if place % 5))
    classes = 1 + max(int(line.rsplit(" ", 1)[1]) for line in lines)
    paddle.seed(0)
    save_weights(settled(build_network(args.network, classes), args.size), folder / "start.pdparams")
    return config(args, folder, classes)


def settled(network, size: int):
    """The network with batch-norm statistics of its own: with the first ones the answer of some hardly varies."""
    for layer in network.sublayers():
        if hasattr(layer, "_momentum"):
            layer._momentum = 0.0
    network.train()
    network(paddle.randn([16, 3, size, size]))
    return network


def run(data: dict, folder: Path, name: str, settings: dict) -> dict:
    """One whole `ssld train`; its CPU and wall seconds."""
    data = {**data, "Global": {**data["Global"], **settings, "output_dir": str(folder / name)}}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))
    before, began = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", "import sys; from ssld.cli import main; sys.exit(main())", "train", "-c",
                    str(folder / f"{name}.yaml")], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return {"wall_s": time.perf_counter() - began,
            "cpu_s": after.children_user + after.children_system - before.children_user - before.children_system}


def compare(folder: Path, way: str) -> dict:
    """How far a way's last weights are from the first ones and from the uncached run's, relative to the largest weight of the
    classifier; the tensors that changed; and whether all accuracies are those of the uncached run."""
    first, last, uncached = (read_state(folder / name) for name in ("start", f"{way}0/latest", "uncached0/latest"))
    changed = [name for name in last if not np.array_equal(last[name], first[name])]
    largest = max(np.abs(last[name]).max() for name in changed)
    return {"changed_tensors": sorted(changed),
            "moved_by": float(max(np.abs(last[name] - first[name]).max() for name in changed) / largest),
            "from_uncached": float(max(np.abs(last[name] - uncached[name]).max() for name in last) / largest),
            "accuracies_of_uncached": accuracies(folder / f"{way}0") == accuracies(folder / "uncached0")}


def accuracies(folder: Path) -> list:
    """All that was measured in a run."""
    return [(event["top1"], event["top5"]) for event in read_events(folder) if event["event"] == "eval"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", help="folder of pictures")
    parser.add_argument("--list", default="val_list.txt", help="list file in that folder")
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--network", default="MobileNetV3_small_x1_0")
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--eval-interval", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=int, default=None, help="take only so many lines of the list")
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ssld-fixres-") as name:
        folder = Path(name)
        data, times = prepare(args, folder), {way: [] for way in WAYS}
        for number in range(args.rounds):
            for way, settings in WAYS.items():
                times[way].append(run(data, folder, f"{way}{number}", settings))
                print(f"{way}: {times[way][-1]}", flush=True)
        result = {way: {key: statistics.median(t[key] for t in taken) for key in ("cpu_s", "wall_s")}
                  for way, taken in times.items()}
        for way in WAYS:
            result[way].update(compare(folder, way), cpu_ratio=result[way]["cpu_s"] / result["uncached"]["cpu_s"])
        settings = {**vars(args), "images": Path(args.images).name, "out": Path(args.out).name}
        write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": platform.processor(),
                              "cores": os.cpu_count(), "settings": settings,
                              "ways": result})


if __name__ == "__main__":
    main()
