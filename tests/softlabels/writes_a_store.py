"""Writes a small store: `writes_a_store.py FOLDER [WHEN NUMBER]` dies there like a killed process.

WHEN is note (before the NUMBER-th note, whose rows are on disk), rename (before the renaming of the NUMBER-th shard), renamed
(after it), table or meta (before that file is there).
"""
import itertools
import os
import signal
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dedup import files  # noqa: E402
from ssld.data.manifest import Manifest  # noqa: E402
from ssld.softlabels.codec import Codec  # noqa: E402
from ssld.softlabels.crops import draw_crops  # noqa: E402
from ssld.softlabels.writer import StoreWriter  # noqa: E402
from ssld.train import row_files  # noqa: E402

IMAGES, CROPS, CLASSES, SHARD_IMAGES = 11, 6, 7, 4


def images() -> Manifest:
    return Manifest(Path("/data"), [f"n{i % 3}/{i}.v1.jpg" for i in range(IMAGES)], np.arange(IMAGES) % CLASSES - 1)


def labels(row: int) -> np.ndarray:
    return np.random.default_rng(row).dirichlet(np.ones(CLASSES), CROPS)


def writer(folder, codec=None, crops=CROPS, manifest=None, shard_images=SHARD_IMAGES, **meta) -> StoreWriter:
    codec = codec or Codec("marginal_smoothing", 3, CLASSES)
    manifest = images() if manifest is None else manifest
    return StoreWriter(folder, {"seed": 5, "scale": (0.08, 1.0), **meta}, manifest, codec, crops, shard_images)


def append(shard, codec, row) -> None:
    """An image of which every fifth cannot be read."""
    path, readable = images().path[row], row % 5 != 4
    width, height = (100 + row, 80 + row) if readable else (0, 0)
    records = np.zeros((1, CROPS), codec.dtype)
    if readable:
        records[0] = codec.encode(labels(row), draw_crops(5, path, width, height, CROPS))
    shard.append(records, np.array([width]), np.array([height]), np.array([readable]))


def fill(writer: StoreWriter, rank=0, world=1) -> int:
    """Do what is left of a process's share; returns how many images that were."""
    count = 0
    for shard in writer.shards(rank, world):
        for row in range(shard.first + shard.done, shard.stop):
            append(shard, writer.codec, row)
            count += 1
        shard.close()
    return count


def die(*args) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(when: str, number: int) -> None:
    calls, rename, note = itertools.count(1), os.replace, row_files.Shard.note

    def replace(source, target):
        suffix = {"rename": ".bin", "renamed": ".bin", "table": "images.npz", "meta": "meta.json"}.get(when)
        hit = suffix is not None and str(target).endswith(suffix) and next(calls) == number
        if hit and when != "renamed":
            die()
        rename(source, target)
        if hit:
            die()

    def count_notes(shard, **facts):
        if when == "note" and next(calls) == number:
            die()
        note(shard, **facts)

    files.os.replace, row_files.Shard.note = replace, count_notes


if __name__ == "__main__":
    row_files._NOTED_EVERY_S = 0
    if len(sys.argv) > 2:
        die_at(sys.argv[2], int(sys.argv[3]))
    store = writer(Path(sys.argv[1]))
    print(fill(store))
    store.finish()
