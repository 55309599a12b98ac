"""What does it save to cut several stored crops from each decoded picture?

    python benchmarks/fkd_reading.py IMAGES --out benchmarks/results/fkd_reading.json

IMAGES is a folder of JPEG files. Batches of 64 crops at 224 px with their stored labels, as training reads them, for m = 1, 2,
4 and 8 crops of each picture; beside them an ordinary pipeline (random crop and flip, no stored labels). With both ways to
resize (Pillow's antialiased bilinear filter, which FKD's recipes use, and OpenCV's bilinear) and both decoders. They take
turns, one thread; crops per CPU second, medians over rounds.
"""
from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np
from random_labels import KEPT, jpeg_list, random_store
from reading import cpu_model

from dedup.files import write_json
from ssld.data import decode
from ssld.data.dataset import ManifestDataset, Visit
from ssld.data.replay import ReplayDataset
from ssld.data.transforms import build_transforms
from ssld.device import keep_memory
from ssld.softlabels.labels import StoredLabels

BATCH, CROPS, MS = 64, 64, (1, 2, 4, 8)
DECODERS = {"Pillow": decode.with_pillow, **({"simplejpeg": decode.with_simplejpeg} if decode.simplejpeg else {})}


def operators(backend: str, decoder: str):
    crop = {"RandCropImage": {"size": 224, "backend": backend}}
    transform = build_transforms([{"DecodeImage": {"ignore_orientation": True}}, crop, "RandFlipImage", "NormalizeImage",
                                  "ToCHWImage"], "benchmark")
    transform.operators[0].decode_jpeg = DECODERS[decoder]
    return transform


def crops_per_cpu_second(dataset: ManifestDataset, m: int, rows, batches: int) -> float:
    """Of whole batches, decoded, cut, normalised and joined."""
    began = time.process_time()
    for number in range(batches):
        samples = [dataset[Visit(row, m * number, m)] for row in islice(rows, BATCH // m)]
        batch = dataset.join(samples) if hasattr(dataset, "join") else np.stack([sample["image"] for sample in samples])
        assert len(batch) and len(samples) * m == BATCH
    return batches * BATCH / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=6, help="of each alternative in a round")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    keep_memory()                                           # as a run does
    images = jpeg_list(args.images)
    with tempfile.TemporaryDirectory() as scratch:
        store = random_store(images, Path(scratch) / "store", CROPS)
        labels = StoredLabels(store, np.arange(len(images)), "random", "marginal_smoothing", KEPT)
        alternatives = {}
        for decoder in DECODERS:
            for backend in ("pil", "cv2"):
                stored = ReplayDataset(images, operators(backend, decoder), labels)
                key = f"{decoder}, resized by {'Pillow' if backend == 'pil' else 'OpenCV'}"
                alternatives[key, "ordinary"] = ManifestDataset(images, operators(backend, decoder)), 1
                alternatives.update({(key, f"m = {m}"): (stored, m) for m in MS})
        # each alternative goes through the same pictures in the same order, at a pace of its own
        order = np.random.default_rng(0).permutation(len(images)).tolist()
        rows = {name: cycle(order) for name in alternatives}
        found = defaultdict(list)
        for _ in range(args.rounds):
            for name, (dataset, m) in alternatives.items():
                found[name].append(crops_per_cpu_second(dataset, m, rows[name], args.batches * m // 2 or args.batches))
    rates: dict = defaultdict(dict)
    for (key, name), values in found.items():
        rates[key][name] = statistics.median(values)
    result = {key: {"crops_per_cpu_second": {name: round(rate) for name, rate in row.items()},
                    "times_m_1": {name: round(rate / row["m = 1"], 2) for name, rate in row.items()}}
              for key, row in rates.items()}
    write_json(Path(args.out), {"images": len(images), "batch": BATCH, "rounds": args.rounds, "cpu": cpu_model(),
                                "opencv": cv2.__version__, "result": result})
    for key, row in result.items():
        print(key, row["times_m_1"], row["crops_per_cpu_second"])


if __name__ == "__main__":
    main()
