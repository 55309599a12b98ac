"""How many images per CPU second the input pipeline reads, against a plain one.

    python benchmarks/reading.py IMAGES --out benchmarks/results/reading.json

IMAGES is a folder of JPEG files. Decode, random resized crop to 224, flip, AutoAugment, normalise: ours with Pillow and
with simplejpeg as the decoder, and the same operators written the usual way (OpenCV decodes all of the picture, channels
reversed before the crop, AutoAugment by Pillow, normalisation as a numpy expression). All see the same boxes and draws; the
greatest difference of their results is part of the report. They take turns in one process and one thread; figures are
medians over rounds.
"""
from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import PIL
from plain_autoaugment import plain_autoaugment

from dedup.files import write_json
from ssld.data import decode
from ssld.data.transforms import Compose, RandCropImage, build_transforms

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
STAGES = {"DecodeImage": "decode", "RandCropImage": "crop", "RandFlipImage": "flip", "AutoAugment": "autoaugment",
          "NormalizeImage": "normalise", "ToCHWImage": "normalise"}


class Clock:
    """CPU seconds by stage."""

    def __init__(self):
        self.seconds = defaultdict(float)

    def timed(self, stage: str, function, minus: str = ""):
        """The function, with its seconds added to a stage and taken off another that it runs inside of."""
        def run(*args):
            began = time.process_time()
            result = function(*args)
            spent = time.process_time() - began
            self.seconds[stage] += spent
            if minus:
                self.seconds[minus] -= spent
            return result
        return run


def plain_stages(augment: bool) -> dict:
    """The usual way, in stages of (image, rng)."""
    crop = RandCropImage(size=224)
    stages = {
        "decode": lambda file, rng: cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1],
        "crop": crop,
        "flip": lambda image, rng: cv2.flip(image, 1) if rng.random() < 0.5 else image,
        "autoaugment": plain_autoaugment,
        "normalise": lambda image, rng: np.ascontiguousarray(
            ((image.astype(np.float32) * np.float32(1 / 255) - MEAN) / STD).transpose(2, 0, 1))}
    return stages if augment else {name: stage for name, stage in stages.items() if name != "autoaugment"}


def plain(augment: bool, clock: Clock | None = None):
    """The reference: file, rng -> float32 [3, 224, 224]."""
    stages = [clock.timed(name, stage) if clock else stage for name, stage in plain_stages(augment).items()]

    def read(file, rng):
        image = file
        for stage in stages:
            image = stage(image, rng)
        return image
    return read


def ours(decoder, augment: bool, clock: Clock | None = None) -> Compose:
    """The toolkit's pipeline with one of its JPEG decoders."""
    read = build_transforms(["DecodeImage", {"RandCropImage": {"size": 224}}, "RandFlipImage",
                             *(["AutoAugment"] if augment else []), "NormalizeImage", "ToCHWImage"], "benchmark")
    read.operators[0].decode_jpeg = clock.timed("decode", decoder, minus="crop") if clock else decoder
    if clock:
        for operator in read.operators:
            takes = operator.takes
            timed = clock.timed(STAGES[type(operator).__name__], operator)
            read.operators[read.operators.index(operator)] = Stage(timed, takes)
    return read


class Stage:
    """A timed operator."""

    def __init__(self, run, takes):
        self.run, self.takes = run, takes

    def __call__(self, image, rng):
        return self.run(image, rng)


def alternatives() -> dict:
    """Name to a function (augment, clock or None) -> reader."""
    def with_decoder(decoder):
        return lambda augment, clock=None: ours(decoder, augment, clock)
    found = {"plain": plain, "ours, Pillow": with_decoder(decode.with_pillow)}
    if decode.simplejpeg:
        found["ours, simplejpeg"] = with_decoder(decode.with_simplejpeg)
    return found


def generator(number: int, index: int) -> np.random.Generator:
    return np.random.default_rng((number, index))


def seconds_of(read, files, number: int) -> float:
    began = time.process_time()
    for index, file in enumerate(files):
        read(file, generator(number, index))
    return time.process_time() - began


def measure(files, rounds: int, augment: bool) -> dict:
    """Images per CPU second and milliseconds per stage of all alternatives, which take turns."""
    makers, seconds, stages = alternatives(), defaultdict(list), defaultdict(list)
    for number in range(rounds + 1):                # the first round warms the file cache
        for name, make in makers.items():
            clock = Clock()
            spent = seconds_of(make(augment), files, number)
            seconds_of(make(augment, clock), files, number)
            if number:
                seconds[name].append(spent)
                stages[name].append(clock.seconds)
    rates = {name: len(files) / statistics.median(values) for name, values in seconds.items()}
    ratios = {name: statistics.median(p / s for p, s in zip(seconds["plain"], values)) for name, values in seconds.items()}
    return {name: {"images_per_cpu_s": round(rates[name], 1), "ratio": round(ratios[name], 3),
                   "ms": round(1000 / rates[name], 3),
                   "stages_ms": {stage: round(1000 / len(files) * statistics.median(s[stage] for s in stages[name]), 3)
                                 for stage in stages[name][0]}} for name in makers}


def greatest_difference(files) -> float:
    """Between the reference and any alternative, over all files, with AutoAugment."""
    readers = [make(True) for make in alternatives().values()]
    worst = 0.0
    for index, file in enumerate(files):
        first, *others = [read(file, generator(0, index)) for read in readers]
        worst = max([worst, *(float(np.abs(first - other).max()) for other in others)])
    return worst


def cpu_model() -> str:
    lines = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return lines[0].split(":")[1].strip() if lines else platform.processor()


def versions() -> dict:
    found = {"opencv": cv2.__version__, "pillow": PIL.__version__, "numpy": np.__version__,
             "python": platform.python_version()}
    return {**found, "simplejpeg": decode.simplejpeg.__version__} if decode.simplejpeg else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--limit", type=int, default=500, help="images per round")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    files = sorted(p for p in args.images.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:args.limit]
    result = {"images": len(files), "rounds": args.rounds, "cpu": cpu_model(), "versions": versions(),
              "greatest_difference": greatest_difference(files),
              "without AutoAugment": measure(files, args.rounds, False),
              "with AutoAugment": measure(files, args.rounds, True)}
    write_json(Path(args.out), result)
    for kind in ("without AutoAugment", "with AutoAugment"):
        for name, row in result[kind].items():
            print(f"{kind:20} {name:17} {row['images_per_cpu_s']:7.0f} images per CPU second, {row['ratio']:.2f} times plain; "
                  f"ms: {row['stages_ms']}")


if __name__ == "__main__":
    main()
