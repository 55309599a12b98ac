"""Speed and memory of the descriptor search at any size, against reading and describing the same pictures.

BENCH holds eval.txt and pool.txt ("path" or "path label" lines, relative to the folder). The descriptors of its
evaluation pictures, and of all pictures in the folders given with --more, are repeated with noise until there are as
many as asked for, half of them mirrored: speed and memory are real, accuracy is not tested. The index is built as
the product builds it, written, and opened again in a process of its own.

    python benchmarks/search.py BENCH --vectors 21000000 --out benchmarks/results/search.json
"""
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup import Options, voting  # noqa: E402  (the clone's own package comes first)
from dedup.files import write_json  # noqa: E402
from dedup.images import read_bytes  # noqa: E402
from dedup.picture import describe  # noqa: E402
from dedup.source import open_source  # noqa: E402
from dedup.threads import one_thread  # noqa: E402

_BLOCK = 1 << 16
_TOGETHER = 64          # pictures, as many as the product searches at once
_INDEX = "descriptors.faiss"
_NOISE = 6.0            # standard deviation added to repeated descriptors, of values up to 255


def describe_all(files: list[str], options: Options, size: int) -> list[np.ndarray]:
    """Descriptors uint8 [n, 128] of each picture at a working size in pixels."""
    return [describe(read_bytes(file), options, size).view.features.descriptors for file in files]


def fill(real: np.ndarray, count: int, file) -> np.ndarray:
    """`count` descriptors as a memory-map: the real ones, then noisy repetitions."""
    filled = np.lib.format.open_memmap(file, "w+", np.uint8, (count, real.shape[1]))
    random = np.random.default_rng(0)
    for start in range(0, count, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, count))
        values = real[rows % len(real)].astype(np.float32)
        noisy = values + _NOISE * random.standard_normal(values.shape, np.float32) * (rows >= len(real))[:, None]
        filled[rows[0]:rows[-1] + 1] = np.clip(np.round(noisy), 0, 255)
    filled.flush()
    return filled


def build(real: np.ndarray, vectors: int, folder: Path, options: Options) -> dict:
    """Build the index and write it; returns sizes and CPU seconds."""
    filled = fill(real, vectors // 2, folder / "descriptors.npy")
    began = time.process_time()
    index = voting.empty_index(filled, options)
    trained = time.process_time()
    voting.add_descriptors(index, filled)
    added = time.process_time()
    file = folder / _INDEX
    voting.write_index(index, file)
    return {"vectors": index.ntotal, "real_vectors": min(2 * len(real), index.ntotal),
            "bytes_per_vector": round(file.stat().st_size / index.ntotal, 2),
            "train_cpu_s": round(trained - began, 1), "add_cpu_s": round(added - trained, 1)}


def search(file: Path, pictures: list[str], options: Options) -> dict:
    """Open the index and look for pictures; the three steps take turns. Medians of CPU milliseconds per picture."""
    before = resident_mb()
    index = faiss.read_index(str(file))
    opened = resident_mb()
    steps: dict[str, list] = {"decode_and_describe": [], "search_one_by_one": [], "search_together": []}
    with one_thread():
        for start in range(0, len(pictures), _TOGETHER):
            chunk = pictures[start:start + _TOGETHER]
            times = [time.process_time()]
            descriptors = describe_all(chunk, options, options.query_size)
            times.append(time.process_time())
            apart = [voting.nearest(index, d, options) for d in descriptors]
            times.append(time.process_time())
            together = voting.nearest_of_each(index, descriptors, options)
            times.append(time.process_time())
            require_same(apart, together)
            for name, seconds in zip(steps, np.diff(times)):
                steps[name].append(1e3 * seconds / len(chunk))
    medians = {f"{name}_ms": round(statistics.median(values), 2) for name, values in steps.items()}
    return {**medians, "together": _TOGETHER, "pictures": len(pictures),
            "search_to_describe": round(medians["search_together_ms"] / medians["decode_and_describe_ms"], 3),
            "rss_before_mb": before, "rss_opened_mb": opened, "rss_searched_mb": resident_mb(),
            "rss_peak_mb": resident_mb("VmHWM")}


def require_same(apart: list, together: list) -> None:
    """What is found must not depend on the company."""
    for one, other in zip(apart, together):
        if not all(map(np.array_equal, one, other)):
            sys.exit("searching together found something else than searching one by one")


def resident_mb(key: str = "VmRSS") -> int:
    """Memory of this process, megabytes of 10 ** 6 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return round(int(next(line for line in lines if line.startswith(key)).split()[1]) * 1024 / 1e6)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path)
    parser.add_argument("--more", nargs="*", default=[], type=Path, help="lists or folders of further pictures to index")
    parser.add_argument("--vectors", type=int, default=21_000_000, help="size of the index")
    parser.add_argument("--pictures", type=int, default=512, help="pool pictures to look for")
    parser.add_argument("--index", type=Path, help="search this index of an earlier run instead of building one")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the figures")
    parser.add_argument("-o", dest="options", action="append", default=[], metavar="NAME=INT",
                        help="a whole-numbered parameter of dedup.Options, such as -o probes=16")
    given = parser.parse_args()
    options = Options(**{name: int(value) for name, value in (o.split("=") for o in given.options)})
    pool = files_of(given.bench / "pool.txt")
    pictures = pool[::max(1, len(pool) // given.pictures)][:given.pictures]
    references = [file for source in (given.bench / "eval.txt", *given.more) for file in files_of(source)]
    if given.index is not None:
        return report(given, {"index": given.index.name, **search_afresh(given.index, pictures, options)})
    with tempfile.TemporaryDirectory(dir=given.out.parent) as folder, one_thread():
        real = np.concatenate(describe_all(references, options, options.size))
        built = build(real, given.vectors, Path(folder), options)
        report(given, {"references": len(references), "noise": _NOISE, **built,
                       **search_afresh(Path(folder) / _INDEX, pictures, options)})


def search_afresh(file: Path, pictures: list[str], options: Options) -> dict:
    """`search` in a process of its own, whose memory holds nothing of the building."""
    with multiprocessing.get_context("spawn").Pool(1) as fresh:
        return fresh.apply(search, (file, pictures, options))


def report(given: argparse.Namespace, figures: dict) -> None:
    """Print and save."""
    figures = {"options": given.options, **figures}
    print(json.dumps(figures, indent=1))
    write_json(given.out, figures)


def files_of(source: Path) -> list[str]:
    """Files of the pictures in a list or a folder."""
    opened = open_source(source)
    return [os.path.join(opened.root, path) for path in opened.paths]


if __name__ == "__main__":
    main()
