"""What each loss costs beside a student's step, and what the short forms of RKD and of CRD's negatives save.

    python benchmarks/methods.py --out benchmarks/results/methods.json
    python benchmarks/methods.py --out smoke.json --rounds 1 --batch 8 --images 20000 --negatives 64

Losses: forward and backward pass of each method, down to the logits and features of the student, as a share of a step of
ResNet18 alone (forward and backward pass in training mode, CELoss, Momentum) on pictures of --size pixels. Logits and features
are random; those of the teacher are as wide as ResNet50's. Student step and methods take turns; figures are medians of CPU
seconds (all threads) and of wall time.

RKD: the loss as it is against the textbook form with all differences f_j - f_i written out, B = --batch, d = 2048.

CRD: bytes that the negatives of --images images keep, and CPU time of drawing --negatives of them for a batch, against one list
of "all images of other classes" for each class, from which numpy draws; --lists of these are made, their bytes extrapolated.
"""
from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle.nn import functional as F
from student_step import cpu_model

from dedup.files import write_json
from ssld import __version__, device
from ssld.methods import METHODS
from ssld.methods.base import Site
from ssld.methods.ce import CELoss
from ssld.methods.negatives import Negatives
from ssld.methods.rkd import RKDLoss
from ssld.models.zoo import build_network
from ssld.outputs import Outputs

CLASSES, WIDTH = 1000, 2048
MAPS = [("stage1", 4), ("stage2", 8), ("stage3", 16), ("stage4", 32)]       # and pixels of the picture to one of theirs
OWN_BENCHMARK = ("ScaleKDLoss",)                                            # asks more of the teacher than features: scalekd.py
STUDENT, TEACHER = (64, 128, 256, 512), (256, 512, 1024, 2048)              # channels of ResNet18 and ResNet50


def interleaved(tasks: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Median CPU and wall seconds of each task; they take turns, after a round that does not count."""
    times: dict[str, list] = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name, task in tasks.items():
            cpu, wall = time.process_time(), time.perf_counter()
            task()
            times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: dict(zip(("cpu_s", "wall_s"), (statistics.median(each) for each in zip(*pairs[1:]))))
            for name, pairs in times.items()}


def student_step(batch: int, size: int, rng: np.random.Generator) -> Callable[[], None]:
    """A step of the student alone."""
    network, loss = build_network("ResNet18", CLASSES), CELoss()
    network.train()
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, network.parameters())
    image = paddle.to_tensor(rng.normal(0, 1, (batch, 3, size, size)).astype(np.float32))
    label = paddle.to_tensor(rng.integers(0, CLASSES, batch))

    def step() -> None:
        loss(Outputs(network(image)), None, {"label": label}).backward()
        optimizer.step()
        optimizer.clear_grad()
    return step


def shapes_of(channels: tuple[int, ...], size: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the features that methods can ask for."""
    maps = {name: (width, size // stride, size // stride) for (name, stride), width in zip(MAPS, channels)}
    return {**maps, **{f"pre_{name}": shape for name, shape in maps.items()}, "pool": (channels[-1],)}


def outputs_of(names, shapes: Mapping, batch: int, rng: np.random.Generator, trains: bool) -> Outputs:
    """Random logits and features."""
    def draw(shape):
        return paddle.to_tensor(rng.gamma(1, 1, (batch, *shape)).astype(np.float32), stop_gradient=not trains)
    return Outputs(draw((CLASSES,)), {name: draw(shapes[name]) for name in names})


def loss_step(name: str, site: Site, batch: int, rng: np.random.Generator) -> Callable[[], None]:
    """Forward and backward pass of a method with its published settings."""
    method = METHODS.build(name, {}, "benchmark", class_num=CLASSES)
    method.attach(site)
    student = outputs_of(method.student_taps, site.student, batch, rng, True)
    teacher = outputs_of(method.teacher_taps, site.teacher, batch, rng, False)
    index = rng.permutation(len(site.labels))[:batch]
    rows = {"label": paddle.to_tensor(site.labels[index]), "index": paddle.to_tensor(index)}

    def step() -> None:
        method(student, teacher, rows).backward()
        method.clear_gradients()
        for each in (student.logits, *student.features.values()):
            each.clear_grad()
    return step


def measure_losses(args: argparse.Namespace) -> dict:
    """Every registered method beside the student's step."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, args.bank)
    site = Site(shapes_of(STUDENT, args.size), shapes_of(TEACHER, args.size), labels)
    tasks = {"student step": student_step(args.batch, args.size, rng)}
    tasks.update((name, loss_step(name, site, args.batch, rng)) for name in METHODS.names() if name not in OWN_BENCHMARK)
    found = interleaved(tasks, args.rounds)
    for row in found.values():
        row["share_of_student_step"] = row["cpu_s"] / found["student step"]["cpu_s"]
    return found


def textbook_rkd(f_s: paddle.Tensor, f_t: paddle.Tensor) -> paddle.Tensor:
    """RKDLoss with the differences of all pairs written out."""
    (d_s, a_s), (d_t, a_t) = (textbook_relations(features) for features in (f_s, f_t))
    return 25 * F.smooth_l1_loss(d_s, d_t) + 50 * F.smooth_l1_loss(a_s, a_t)


def textbook_relations(features: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
    squares = features.square().sum(1)
    distance = (squares.unsqueeze(1) + squares - 2 * features @ features.t()).clip(min=1e-12).sqrt()
    distance = distance * (1 - paddle.eye(len(features)))
    direction = F.normalize(features.unsqueeze(0) - features.unsqueeze(1), axis=2)
    return distance / distance[distance > 0].mean(), direction @ direction.transpose([0, 2, 1])


def measure_rkd(args: argparse.Namespace) -> dict:
    """Both forms on the same features: time, loss, gradient."""
    rng = np.random.default_rng(0)
    f_s, f_t = (paddle.to_tensor(rng.gamma(1, 1, (args.batch, WIDTH)).astype(np.float32)) for _ in range(2))
    f_s.stop_gradient = False
    method, results = RKDLoss(), {}

    def run(name: str, loss: Callable[[], paddle.Tensor]) -> None:
        value = loss()
        value.backward()
        results[name] = float(value), f_s.grad.numpy()
        f_s.clear_grad()

    found: dict = interleaved({
        "gram": lambda: run("gram", lambda: method(Outputs(None, {"pool": f_s}), Outputs(None, {"pool": f_t}), {})),
        "textbook": lambda: run("textbook", lambda: textbook_rkd(f_s, f_t))}, args.rounds)
    (loss, slope), (other_loss, other_slope) = results["gram"], results["textbook"]
    return {**found, "batch": args.batch, "width": WIDTH, "cpu_speedup": found["textbook"]["cpu_s"] / found["gram"]["cpu_s"],
            "wall_speedup": found["textbook"]["wall_s"] / found["gram"]["wall_s"],
            "loss_difference": abs(loss - other_loss) / other_loss,
            "gradient_difference": float(np.abs(slope - other_slope).max() / np.abs(other_slope).max())}


def measure_negatives(args: argparse.Namespace) -> dict:
    """Memory and time of drawing from one sorted list, and from a list for each class."""
    rng = np.random.default_rng(0)
    labels = np.arange(args.images) % CLASSES
    rng.shuffle(labels)
    negatives = Negatives(labels)
    lists = {c: np.flatnonzero(labels != c).astype(np.int32) for c in range(args.lists)}
    index = np.flatnonzero(labels < args.lists)[:args.batch]
    label, rows = paddle.to_tensor(labels[index]), paddle.to_tensor(index)
    found: dict = interleaved({
        "sorted": lambda: negatives.draw(label, rows, args.negatives),
        "lists": lambda: np.stack([rng.choice(lists[c], args.negatives) for c in labels[index]])}, args.rounds)
    kept = sum(each.size * each.element_size() for each in (negatives.order, negatives.counts, negatives.starts))
    found["sorted"]["bytes"], found["lists"]["bytes"] = kept, sum(map(len, lists.values())) * 4 * CLASSES // args.lists
    return {**found, "images": args.images, "classes": CLASSES, "batch": args.batch, "negatives": args.negatives,
            "lists_made": args.lists, "cpu_speedup": found["lists"]["cpu_s"] / found["sorted"]["cpu_s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--size", type=int, default=64, help="pixels of the student's pictures")
    parser.add_argument("--bank", type=int, default=50_000, help="training images in CRD's banks")
    parser.add_argument("--images", type=int, default=1_281_167, help="training images that negatives are drawn from")
    parser.add_argument("--negatives", type=int, default=16384)
    parser.add_argument("--lists", type=int, default=8)
    args = parser.parse_args()
    device.start("cpu")
    paddle.base.core.set_num_threads(args.threads)
    paddle.seed(0)
    result = {"ssld": __version__, "paddle": paddle.__version__, "cpu": cpu_model(), "threads": args.threads,
              "rounds": args.rounds, "batch": args.batch, "size": args.size, "bank": args.bank}
    for name, measure in (("negatives", measure_negatives), ("rkd", measure_rkd), ("losses", measure_losses)):
        result[name] = measure(args)
        print(name, result[name], flush=True)
        write_json(args.out, result)


if __name__ == "__main__":
    main()
