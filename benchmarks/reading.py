"""How many images per CPU second the input pipeline reads, against a plain one.

    python benchmarks/reading.py IMAGES --out benchmarks/results/reading.json

IMAGES is a folder of JPEG files. Decode, random resized crop to 224, flip, AutoAugment, normalise: ours, and the same
operators written the usual way (channels reversed before the crop, normalisation as a numpy expression). The two take
turns in one process and one thread; figures are medians.
"""
from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from dedup.files import write_json
from ssld.data.autoaugment import AutoAugment
from ssld.data.transforms import RandCropImage, build_transforms

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)


def ours(augment: bool):
    """The toolkit's pipeline: file, rng -> float32 [3, 224, 224]."""
    ops = ["DecodeImage", {"RandCropImage": {"size": 224}}, "RandFlipImage", *(["AutoAugment"] if augment else []),
           "NormalizeImage", "ToCHWImage"]
    return build_transforms(ops, "benchmark")


def plain(augment: bool):
    """The same pictures, the usual way."""
    crop, auto = RandCropImage(size=224), AutoAugment()

    def read(file, rng):
        image = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
        image = crop(image, rng)
        if rng.random() < 0.5:
            image = cv2.flip(image, 1)
        if augment:
            image = auto(image, rng)
        image = (image.astype(np.float32) * np.float32(1 / 255) - MEAN) / STD
        return np.ascontiguousarray(image.transpose(2, 0, 1))
    return read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--limit", type=int, default=500, help="images per round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:args.limit]
    readers = {f"{name}{' + AutoAugment' if augment else ''}": make(augment)
               for augment in (False, True) for name, make in (("plain", plain), ("ours", ours))}
    seconds = {name: [] for name in readers}
    for number in range(args.rounds + 1):           # the first round warms the file cache
        for name, read in readers.items():
            began = time.process_time()
            for index, file in enumerate(files):
                read(file, np.random.default_rng((number, index)))
            if number:
                seconds[name].append(time.process_time() - began)
    rates = {name: len(files) / statistics.median(values) for name, values in seconds.items()}
    ratios = {"ours / plain": rates["ours"] / rates["plain"],
              "ours / plain, + AutoAugment": rates["ours + AutoAugment"] / rates["plain + AutoAugment"]}
    write_json(Path(args.out), {"images": len(files), "opencv": cv2.__version__, "images_per_cpu_s": rates, "ratios": ratios})
    print({**{name: round(rate) for name, rate in rates.items()}, **{name: round(r, 2) for name, r in ratios.items()}})


if __name__ == "__main__":
    main()
