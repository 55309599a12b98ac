"""How much of the time of generating soft labels is spent inside the teacher, and what the rest of the work costs.

    python benchmarks/soft_label_generation.py IMAGES --out benchmarks/results/soft_label_generation.json

IMAGES is a folder of JPEG files. A teacher with random weights labels crops of them into a store, as `ssld soft-labels` does
after its self-check; numbers of reading processes take turns. Teacher utilisation is wall time inside the teacher over wall
time of everything, with the writing of the store. Shares are CPU seconds of the parts alone, for one crop.
"""
from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import paddle

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup.files import write_json  # noqa: E402
from ssld import device  # noqa: E402
from ssld.data.manifest import Manifest  # noqa: E402
from ssld.data.transforms import DecodeImage  # noqa: E402
from ssld.models.weights import load_weights, save_weights  # noqa: E402
from ssld.models.zoo import build_network  # noqa: E402
from ssld.softlabels.codec import Codec  # noqa: E402
from ssld.softlabels.crop_batches import Grouping  # noqa: E402
from ssld.softlabels.crop_sources import DrawnCrops  # noqa: E402
from ssld.softlabels.ensemble import Ensemble  # noqa: E402
from ssld.softlabels.generate import Labeller, generate  # noqa: E402
from ssld.softlabels.views import View  # noqa: E402
from ssld.softlabels.writer import StoreWriter  # noqa: E402
from ssld.teachers.engines import make_engine  # noqa: E402

CLASSES = 1000


def open_ensemble(name: str, size: int) -> Ensemble:
    """A teacher whose random weights were written to a file and read again."""
    with tempfile.TemporaryDirectory() as folder:
        save_weights(build_network(name, CLASSES), Path(folder) / "teacher.pdparams")
        network = build_network(name, CLASSES)
        load_weights(network, Path(folder) / "teacher.pdparams")
    return Ensemble([make_engine(network)], [View(size)], CLASSES)


def run_once(labeller: Labeller) -> dict[str, float]:
    """One generation: wall seconds, those inside the teacher, CPU seconds with the reading processes."""
    with tempfile.TemporaryDirectory() as folder:
        writer = StoreWriter(folder, {}, labeller.images, labeller.codec, labeller.grouping.crops)
        inside, cpu, began = labeller.ensemble.seconds, _cpu_seconds(), time.monotonic()
        generate(labeller, writer)
        return {"wall_s": time.monotonic() - began, "teacher_s": labeller.ensemble.seconds - inside,
                "cpu_s": _cpu_seconds() - cpu}


def parts(labeller: Labeller) -> dict[str, float]:
    """CPU milliseconds per crop of decoding, cutting (crop, resize, mirror), normalising, and the teacher."""
    images, size, seconds = labeller.images, labeller.grouping.size, defaultdict(list)
    view, decode = labeller.ensemble.views[0], DecodeImage(ignore_orientation=True)
    for row in range(len(images)):
        marks = [time.process_time()]
        image = np.asarray(decode(images.file(row), None))
        crops = labeller.crops_of(row, image.shape[1], image.shape[0])
        marks.append(time.process_time())
        pixels = view.cut(image, type(crops)(crops.box[:size], crops.flip[:size]))
        marks.append(time.process_time())
        normalised = view.normalised(paddle.to_tensor(pixels)).numpy()
        marks.append(time.process_time())
        labeller.ensemble.ask([paddle.to_tensor(normalised)])
        marks.append(time.process_time())
        counts = (len(crops.box), size, size, size)
        for name, count, taken in zip(("decode", "cut", "normalise", "teacher"), counts, np.diff(marks)):
            seconds[name].append(1000 * taken / count)
    return {name: statistics.median(values) for name, values in seconds.items()}


def measure(folder: Path, given: argparse.Namespace) -> dict:
    """All figures of one folder of images."""
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.suffix.lower() in (".jpg", ".jpeg"))
    files = [files[place] for place in np.linspace(0, len(files) - 1, given.images * given.rounds).astype(int)]
    ensemble, codec = open_ensemble(given.teacher, given.size), Codec("marginal_smoothing", 5, CLASSES)
    grouping, runs, shares = Grouping.of(given.crops, given.batch_size), defaultdict(list), []
    for turn in range(given.rounds):
        names = files[turn * given.images:(turn + 1) * given.images]
        images = Manifest(folder, names, np.full(len(names), -1))
        source = DrawnCrops(images.path, 0, given.crops, (0.08, 1.0), (3 / 4, 4 / 3))
        shares.append(parts(Labeller(images, source, grouping, ensemble, codec)))
        for number in range(len(given.workers)):
            workers = given.workers[(turn + number) % len(given.workers)]
            runs[workers].append(run_once(Labeller(images, source, grouping, ensemble, codec, workers)))
    share = {name: statistics.median(s[name] for s in shares) for name in shares[0]}
    return {"teacher": given.teacher, "engine": ensemble.members[0][0].name, "size": given.size,
            "threads": device.cpu_threads(), "images": len(files), "crops": given.crops, "batch_size": grouping.size,
            "cpu_ms_per_crop": {name: round(value, 3) for name, value in share.items()},
            "cpu_share": {name: round(value / sum(share.values()), 4) for name, value in share.items()},
            "reading_processes": {str(workers): _summary(of_workers, given) for workers, of_workers in sorted(runs.items())}}


def _summary(runs: list[dict], given: argparse.Namespace) -> dict[str, float]:
    crops = given.images * given.crops
    return {"teacher_utilisation": round(statistics.median(run["teacher_s"] / run["wall_s"] for run in runs), 4),
            "crops_per_s": round(statistics.median(crops / run["wall_s"] for run in runs), 2),
            "crops_per_cpu_s": round(statistics.median(crops / run["cpu_s"] for run in runs), 2)}


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Measure one folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="IMAGES")
    parser.add_argument("--teacher", default="ResNet50_vd")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--images", type=int, default=6, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--crops", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    device.start("cpu")
    figures = measure(given.folder, given)
    print(json.dumps(figures, indent=1))
    if given.out:
        write_json(given.out, {"images_per_round": given.images, "rounds": given.rounds, **figures})


if __name__ == "__main__":
    main()
