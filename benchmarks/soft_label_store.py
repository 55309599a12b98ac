"""Bytes per crop of stored soft labels, and the time to read some of them, against the original format.

    python benchmarks/soft_label_store.py IMAGES --out benchmarks/results/soft_label_store.json

IMAGES is a folder of JPEG files, of which only the sizes are read. For each image the same 500 crops and the same labels
(marginal smoothing, K = 5; softmax of random numbers for 1000 classes) are written as a store, and as the original files: one
zip for each image in PyTorch's layout, with a pickle of boxes as fractions, flips and labels, in single precision. All files of
the store count. Then 4 random crops of each image, in random order, are read: boxes, flips, ids and probabilities from the
store; the recovered labels from the store; the original file by Python's own unpickler, which runs any code in it; and by this
package's reader, which does not. They take turns in one process, with the files in the cache of the system; figures are medians
over rounds.
"""
from __future__ import annotations

import argparse
import os
import pickle
import statistics
import tempfile
import time
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from reading import cpu_model

from dedup.files import write_json
from ssld.data.manifest import Manifest
from ssld.softlabels.codec import Codec
from ssld.softlabels.crops import Crops, draw_crops
from ssld.softlabels.image_size import image_size
from ssld.softlabels.original import read_original
from ssld.softlabels.store import Store
from ssld.softlabels.writer import StoreWriter

CLASSES, CROPS, KEPT, READ = 1000, 500, 5, 4
ORIGINAL_RECORDS = {"byteorder": "little", "version": "3\n", ".data/serialization_id": "0" * 40}


def softmax(rng: np.random.Generator) -> np.ndarray:
    """Answers of a teacher that is sure of some crops and not of others, float32 [CROPS, CLASSES]."""
    logits = rng.normal(0, 1, (CROPS, CLASSES)) * rng.uniform(1, 5, (CROPS, 1))
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (p / p.sum(axis=1, keepdims=True)).astype(np.float32)


def write_original(file: Path, width: int, height: int, crops: Crops, ids: np.ndarray, kept: np.ndarray) -> None:
    coords = (crops.box / np.array([height, width, height, width])).astype(np.float32)
    labels = np.stack([ids.astype(np.float32), kept], axis=1)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{file.stem}/data.pkl", pickle.dumps([coords, crops.flip, labels], protocol=2))
        for name, text in ORIGINAL_RECORDS.items():
            archive.writestr(f"{file.stem}/{name}", text)


def write_both(files: list[Path], root: Path, folder: Path) -> None:
    """`folder`/store, and `folder`/original/0.tar ..."""
    images = Manifest(root, [str(file.relative_to(root)) for file in files], np.arange(len(files)) % CLASSES)
    codec = Codec("marginal_smoothing", KEPT, CLASSES)
    writer = StoreWriter(folder / "store", {"seed": 0, "scale": (0.08, 1.0), "ratio": (3 / 4, 4 / 3)}, images, codec, CROPS)
    (folder / "original").mkdir()
    for shard in writer.shards():
        for row in range(shard.first, shard.stop):
            width, height = image_size(files[row])
            crops, p = draw_crops(0, images.path[row], width, height, CROPS), softmax(np.random.default_rng(row))
            ids = np.argsort(-p, axis=1)[:, :KEPT]
            write_original(folder / "original" / f"{row}.tar", width, height, crops, ids, np.take_along_axis(p, ids, axis=1))
            shard.append(codec.encode(p, crops)[None], np.array([width]), np.array([height]), np.array([True]))
        shard.close()
    writer.finish()


def sizes(folder: Path) -> dict:
    """Bytes per crop, and those of a disk that gives out 4 KiB blocks."""
    found = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    crops = CROPS * len(list((folder.parent / "original").iterdir()))
    return {"bytes_per_crop": round(sum(found) / crops, 3), "files": len(found),
            "on_disk_bytes_per_crop": round(sum(-(-size // 4096) * 4096 for size in found) / crops, 3)}


def readers(folder: Path) -> dict:
    """Name -> function (row, chosen crops)."""
    store, original = Store(folder / "store"), folder / "original"

    def stored(row, chosen):
        records = store.records(row)[chosen]
        return store.codec.crops(records), store.codec.top(records)

    def recovered(row, chosen):
        records = store.records(row)[chosen]
        return store.codec.crops(records), store.codec.sparse(records)

    def unpickled(row, chosen):
        with zipfile.ZipFile(original / f"{row}.tar") as archive:
            coords, flip, labels = pickle.loads(archive.read(f"{row}/data.pkl"))
        return coords[chosen], flip[chosen], labels[chosen]

    def safely(row, chosen):
        labels = read_original(original / f"{row}.tar")
        return labels.coords[chosen], labels.flip[chosen], labels.label[chosen]

    return {"store": stored, "store, labels recovered": recovered, "original": unpickled, "original, read safely": safely}


def measure(folder: Path, count: int, rounds: int) -> dict:
    """Microseconds per image, CPU and wall; and ratios of the rounds' CPU times."""
    cpu, wall, alternatives = defaultdict(list), defaultdict(list), readers(folder)
    for number in range(rounds + 1):                # the first round warms the file cache
        rng = np.random.default_rng(number)
        visits = [(int(row), rng.permutation(CROPS)[:READ]) for row in rng.permutation(count)]
        for name, read in alternatives.items():
            began = time.process_time(), time.perf_counter()
            for row, chosen in visits:
                read(row, chosen)
            spent = time.process_time() - began[0], time.perf_counter() - began[1]
            for times, seconds in zip((cpu, wall), spent):
                times[name] += [seconds / count * 1e6] if number else []
    return {name: {"cpu_us": round(statistics.median(cpu[name]), 2), "wall_us": round(statistics.median(wall[name]), 2),
                   "times_faster_than_original": round(statistics.median(a / b for a, b in zip(cpu["original"], cpu[name])), 2)}
            for name in cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--limit", type=int, default=400, help="images")
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    files = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:args.limit]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_both(files, args.images, folder)
        result = {"images": len(files), "crops": CROPS, "kept": KEPT, "read": READ, "rounds": args.rounds, "cpu": cpu_model(),
                  "load_average": os.getloadavg()[0], "size": {kind: sizes(folder / kind) for kind in ("store", "original")},
                  "read_per_image": measure(folder, len(files), args.rounds)}
    write_json(Path(args.out), result)
    for part in ("size", "read_per_image"):
        for name, row in result[part].items():
            print(f"{name:24} {row}")


if __name__ == "__main__":
    main()
