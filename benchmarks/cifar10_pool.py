"""Spoil CIFAR-10's unlabelled pool as real pools are: copies of evaluation images and pictures of something else.

    python benchmarks/cifar10_pool.py dataset/cifar10 PHOTOGRAPHS... --out dataset/cifar10_spoilt

dataset/cifar10 holds CIFAR-10 as JPEG files with pool_list.txt and val_list.txt; PHOTOGRAPHS are folders of other JPEG
files. Written into OUT, which lies beside cifar10: copies/ and foreign/, pool_list.txt with the pool and both of them in
random order (paths relative to the folder that holds cifar10), and truth.csv (path, kind, source, edits), for judging
afterwards.
"""
from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

from dedup.files import atomic_write

SIDE = 32


def _reencoded(image: Image.Image, rng: random.Random) -> Image.Image:
    return image


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    left, top = rng.randint(0, 4), rng.randint(0, 4)
    return image.crop((left, top, left + SIDE - 4, top + SIDE - 4)).resize((SIDE, SIDE), Image.BICUBIC)


def _enlarged(image: Image.Image, rng: random.Random) -> Image.Image:
    side = rng.randint(40, 64)
    return image.resize((side, side), Image.BICUBIC)


EDITS = {"reencoded": _reencoded, "cropped": _cropped, "enlarged": _enlarged,
         "mirrored": lambda image, rng: ImageOps.mirror(image),
         "brighter": lambda image, rng: ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.3)),
         "grey": lambda image, rng: image.convert("L").convert("RGB")}


def copies(val: Sequence[str], root: Path, out: Path, count: int, rng: random.Random) -> Iterator[tuple]:
    """Write `count` copies, each of another evaluation image: (path, kind, source, edits)."""
    for number, source in enumerate(rng.sample(list(val), count)):
        path, edit = out / "copies" / f"{number:05d}.jpg", rng.choice(["same bytes", *EDITS])
        if edit == "same bytes":
            path.write_bytes((root / source).read_bytes())
        else:
            EDITS[edit](Image.open(root / source).convert("RGB"), rng).save(path, quality=rng.randint(70, 95))
        yield path.relative_to(root.parent), "copy", source, edit


def foreign(folders: Sequence[Path], root: Path, out: Path, count: int, rng: random.Random) -> Iterator[tuple]:
    """Write `count` windows of photographs, reduced to 32 pixels, as many from each: (path, kind, source, "")."""
    files = sorted(file for folder in folders for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    for number in range(count):
        source = files[number % len(files)]
        with Image.open(source) as photograph:
            photograph.draft("RGB", (256, 256))
            photograph = photograph.convert("RGB")
            side = int(min(photograph.size) * rng.uniform(0.3, 1.0))
            left, top = (rng.randint(0, length - side) for length in photograph.size)
            window = photograph.resize((SIDE, SIDE), Image.BICUBIC, box=(left, top, left + side, top + side))
        path = out / "foreign" / f"{number:05d}.jpg"
        window.save(path, quality=95)
        yield path.relative_to(root.parent), "foreign", source.name, ""


def _paths(file: Path) -> list[str]:
    return [line.rsplit(" ", 1)[0] for line in file.read_text().splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("photographs", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--foreign", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    root, out, rng = args.cifar10.resolve(), args.out.resolve(), random.Random(args.seed)
    if out.parent != root.parent:
        parser.error(f"--out must lie in {root.parent}, beside {root.name}")
    for name in ("copies", "foreign"):
        (out / name).mkdir(parents=True, exist_ok=True)
    rows = [(f"{root.name}/{path}", "clean", "", "") for path in _paths(root / "pool_list.txt")]
    rows += copies(_paths(root / "val_list.txt"), root, out, args.copies, rng)
    rows += foreign(args.photographs, root, out, args.foreign, rng)
    rng.shuffle(rows)
    with atomic_write(out / "truth.csv") as file:
        csv.writer(file, lineterminator="\n").writerows([("path", "kind", "source", "edits"), *rows])
    with atomic_write(out / "pool_list.txt") as file:
        file.writelines(f"{path} -1\n" for path, *_ in rows)
    print(f"wrote {out / 'pool_list.txt'}: {len(rows)} images")


if __name__ == "__main__":
    main()
