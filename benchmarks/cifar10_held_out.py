"""Divide CIFAR-10 into six classes to distill on and four that are held out, as another task for the student.

    python benchmarks/cifar10_held_out.py dataset/cifar10

dataset/cifar10 holds CIFAR-10 as JPEG files with train_list.txt and val_list.txt. Written into its held_out/: lists of the
first six classes (source_train_list.txt, source_val_list.txt) and of the last four with new numbers from 0, of which only the
first images of each class are for training (target_train_list.txt, target_val_list.txt). Paths are relative to dataset/cifar10.
"""
from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from dedup.files import atomic_write

SOURCE_CLASSES = 6


def rows_of(file: Path) -> list[tuple[str, int]]:
    return [(path, int(label)) for path, label in (line.rsplit(" ", 1) for line in file.read_text().splitlines())]


def first_of_each(rows: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    seen, kept = Counter(), []
    for path, label in rows:
        seen[label] += 1
        if seen[label] <= count:
            kept.append((path, label))
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--target-images", type=int, default=100, help="of each held-out class, for training")
    args = parser.parse_args()
    out = args.cifar10 / "held_out"
    out.mkdir(exist_ok=True)
    for name in ("train", "val"):
        rows = rows_of(args.cifar10 / f"{name}_list.txt")
        source = [row for row in rows if row[1] < SOURCE_CLASSES]
        target = [(path, label - SOURCE_CLASSES) for path, label in rows if label >= SOURCE_CLASSES]
        if name == "train":
            target = first_of_each(target, args.target_images)
        for task, kept in (("source", source), ("target", target)):
            with atomic_write(out / f"{task}_{name}_list.txt") as file:
                file.writelines(f"{path} {label}\n" for path, label in kept)
            print(f"wrote {out / f'{task}_{name}_list.txt'}: {len(kept)} images")


if __name__ == "__main__":
    main()
