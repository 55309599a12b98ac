"""What the training loop and the teacher's engine cost: whole steps of our Trainer against the bare operations.

    python benchmarks/step.py --out benchmarks/results/step.json

The bare step is an eager teacher under no_grad, the student's forward pass, the loss, backward, Momentum and clear_grad on
tensors in memory, and nothing else. The Trainer gets the same tensors from a loader in memory; its step is everything
from one batch to the next: distiller, optimizer, schedule, seeds, checks, log. One bare step is taken before each of its
steps, in the same process, so that whatever else the machine does hits both. Figures are medians over blocks of steps
with one report each; seconds are CPU seconds (all threads) and wall time of a step. Random weights, random pictures. On a
busy machine OPENBLAS_NUM_THREADS=1 keeps threads from waiting for each other.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle

from dedup.files import write_json
from ssld import __version__, device
from ssld.distiller import Distiller, Term
from ssld.methods.js import JSDivLoss, symmetric_kl
from ssld.models.onednn import use_onednn
from ssld.models.zoo import build_network
from ssld.optim.optimizers import Momentum
from ssld.optim.schedules import Cosine
from ssld.outputs import log_softmax
from ssld.teachers.eager import EagerEngine
from ssld.teachers.live import LiveTeacher
from ssld.teachers.onednn import OneDNNEngine, runs_bf16
from ssld.timetable import Timetable
from ssld.train.settings import Settings
from ssld.train.trainer import Trainer

PAIRS = {
    "tiny": (("SmallResNet", 10, {"width": 2}), ("SmallResNet", 10, {"width": 2}), 8, 2),       # shows the cost of the loop
    "small": (("SmallResNet", 10, {"width": 16}), ("SmallResNet", 10, {"width": 8}), 32, 64),
    "resnet": (("ResNet34", 1000, {}), ("ResNet18", 1000, {}), 64, 32),
    "mobilenet_large": (("ResNet50_vd", 1000, {}), ("MobileNetV3_large_x1_0", 1000, {}), 224, 8),
    "mobilenet_small": (("ResNet50_vd", 1000, {}), ("MobileNetV3_small_x0_35", 1000, {}), 224, 8),
}
ENGINES = {"eager": EagerEngine, "onednn_fp32": OneDNNEngine, "onednn_bf16": lambda network: OneDNNEngine(network, "bf16")}
STUDENT = " + student"      # the student trains through oneDNN as well (Arch.student.engine)
ALTERNATIVES = [*ENGINES, f"onednn_fp32{STUDENT}", f"onednn_bf16{STUDENT}"]
LONG = 2                    # steps of a block where a step takes a second; elsewhere the default of print_batch_step


class Clock:
    """CPU and wall seconds of each step, in [n, 2]."""

    def __init__(self):
        self.steps: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def __call__(self):
        began = time.process_time(), time.perf_counter()
        yield
        self.steps.append((time.process_time() - began[0], time.perf_counter() - began[1]))


class Pictures(list):
    """As much of a dataset as the Trainer asks for."""

    manifest, max_bad_fraction = None, 0.0

    def __init__(self, count: int):
        super().__init__(range(count))


class InMemory:
    """A loader that gives the same batch again and again, and takes a bare step before each.

    Attributes:
        bare, trainer: clocks of the steps of both.
    """

    def __init__(self, batch: dict, bare_step):
        self.batch, self.bare_step = batch, bare_step
        self.bare, self.trainer = Clock(), Clock()
        self.dataset = Pictures(len(batch["label"]))
        self.sampler = SimpleNamespace(global_batch=len(batch["label"]))

    def batches(self, first: int, last: int):
        """Batches of the steps."""
        for _ in range(first, last):
            with self.bare():
                self.bare_step()
            with self.trainer():
                yield self.batch


def bare_step_of(teacher, student, image):
    """The operations of a step and nothing else."""
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, parameters=student.parameters())

    def step():
        with paddle.no_grad():
            target = teacher(image)
        loss = symmetric_kl(log_softmax(student(image)), log_softmax(target)).mean()
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    return step


def network_of(name: str, class_num: int, options: dict):
    return build_network(name, class_num, **options)


def run_pair(teacher, student, size: int, batch_size: int, engine: str, block: int, blocks: int, discard: int) -> dict:
    """Steps of the Trainer with engines of ALTERNATIVES, and bare steps that are eager throughout."""
    paddle.seed(0)
    engine, fast_student, _ = engine.partition(STUDENT)
    network, students = network_of(*teacher), [network_of(*student) for _ in range(2)]
    image = paddle.randn([batch_size, 3, size, size])
    batch = {"image": image, **{name: paddle.zeros([batch_size], "int64") for name in ("label", "index")},
             "unreadable": paddle.full([batch_size], -1, "int64")}
    network.eval(), students[0].train()
    if fast_student:
        use_onednn(students[1])
    steps = (blocks + discard) * block + 1          # the end of the last one is not seen
    loader = InMemory(batch, bare_step_of(network, students[0], image))
    distiller = Distiller(students[1], LiveTeacher(ENGINES[engine](network)), [Term(JSDivLoss())])
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        Trainer(distiller, loader, Momentum(distiller, 0.01), Cosine(0.01, timetable=Timetable.uniform(1, steps)),
                Settings(folder, print_batch_step=block)).fit()
    return {"engine": engine + fast_student, "blocks": blocks, "steps_per_block": block, **compared(loader, block, discard)}


def compared(loader: InMemory, block: int, discard: int) -> dict:
    """Seconds of a step of both, and their ratio."""
    bare, trainer = (np.array(clock.steps)[:len(loader.trainer.steps)].reshape(-1, block, 2).mean(1)[discard:]
                     for clock in (loader.bare, loader.trainer))
    median = {name: np.median(steps, axis=0) for name, steps in (("bare", bare), ("trainer", trainer))}
    ratio = np.median(trainer / bare, axis=0)           # block by block: what slows the machine down slows both
    quartiles = np.percentile(trainer[:, 0] / bare[:, 0], [25, 75])
    return {**{f"{name}_{what}_s": float(median[name][i]) for name in median for i, what in enumerate(("cpu", "wall"))},
            "cpu_ratio": float(ratio[0]), "wall_ratio": float(ratio[1]), "cpu_ratio_quartiles": quartiles.tolist()}


def processor() -> str:
    """The CPU's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="JSON file to write")
    parser.add_argument("--blocks", type=int, default=6, help="blocks that count; twice as many of short steps")
    parser.add_argument("--discard", type=int, default=1, help="first blocks that do not count")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS), choices=list(PAIRS))
    parser.add_argument("--engines", nargs="*", default=[e for e in ALTERNATIVES if "bf16" not in e or runs_bf16()])
    args = parser.parse_args()
    device.start("cpu")
    pairs = []
    for name in args.pairs:
        (teacher, *_), (student, *_), size, batch_size = PAIRS[name]
        for engine in args.engines:
            short = size < 64
            block, blocks = (Settings("").print_batch_step, 2 * args.blocks) if short else (LONG, args.blocks)
            found = run_pair(*PAIRS[name], engine, block, blocks, args.discard)
            pairs.append({"teacher": teacher, "student": student, "size": size, "batch": batch_size, **found})
            print(f"{teacher} -> {student}, {size} px, {engine}: {found['cpu_ratio']:.3f} of the bare step's CPU time "
                  f"({found['bare_cpu_s']:.3f} s), {found['wall_ratio']:.3f} of its wall time", flush=True)
            write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": processor(),
                                  "threads": device.cpu_threads(), "pairs": pairs})


if __name__ == "__main__":
    main()
