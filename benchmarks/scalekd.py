"""What each piece of ScaleKD costs, as a share of a training step with it.

    python benchmarks/scalekd.py --out benchmarks/results/scalekd.json
    python benchmarks/scalekd.py --out swin_tiny.json --teacher SwinTransformer_tiny_patch4_window7_224 --size 224 --batch 8 \
        --heads 8 16

ResNet18 learns from SmallSwin on random pictures of --size pixels; both have random weights. A step is the student's forward
and backward pass and update, the teacher's forward pass (eager), and forward and backward pass of ScaleKDLoss down to the
student's features; each piece is timed by itself, on features of a real batch. The pieces take turns in one process; figures
are medians over rounds of CPU seconds (all threads) and wall seconds.
"""
from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
from methods import CLASSES, interleaved, student_step
from student_step import cpu_model

from dedup.files import write_json
from ssld import __version__, device
from ssld.distiller import Distiller, Term
from ssld.methods.dual_view import alternative_distance, direct_distance
from ssld.methods.scalekd import STAGES, ScaleKDLoss
from ssld.models.zoo import build_network
from ssld.teachers.eager import EagerEngine
from ssld.teachers.live import LiveTeacher

VIEWS = ("direct", "alt")


def backward(outputs: list[paddle.Tensor], method: ScaleKDLoss, leaves: list[paddle.Tensor]) -> None:
    """A backward pass from outputs to the features that they were made of, leaving no gradients behind."""
    sum(each.sum() for each in outputs).backward()
    method.clear_gradients()
    for leaf in leaves:
        leaf.clear_grad()


def pieces(args: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """What is timed, by name."""
    rng = np.random.default_rng(0)
    student, network = build_network("ResNet18", CLASSES), build_network(args.teacher, CLASSES, img_size=args.size)
    method, teacher = ScaleKDLoss(args.heads), LiveTeacher(EagerEngine(network))
    model = Distiller(student, teacher, [Term(method)])
    model.attach((args.size, args.size), np.zeros(args.batch, np.int64))
    batch = {"image": paddle.to_tensor(rng.normal(0, 1, (args.batch, 3, args.size, args.size)).astype(np.float32))}
    with paddle.no_grad():
        seen, said = model.ask_student(batch), teacher(batch)
    features = [seen.features[tap] for tap in method.student_taps]
    target = said.features[method.teacher_taps[-1]]
    for feature in features:
        feature.stop_gradient = False
    with paddle.no_grad():
        before = [method.projectors[f"s3_{view}"](features[0]) for view in VIEWS]
        behind = [method.tail(tokens) for tokens in before]
    for tokens in before + behind:
        tokens.stop_gradient = False

    def projectors(stage: str) -> Callable[[], None]:
        feature = features[STAGES.index(stage)]

        def run() -> None:
            queries = behind if stage == "s4" else (None, None)
            made = [method.projectors[f"{stage}_{view}"](feature, query) for view, query in zip(VIEWS, queries)]
            backward(made, method, [*features, *behind])
        return run

    def losses() -> None:
        made = [distance(tokens, target) for tokens in behind for distance in (direct_distance, alternative_distance)]
        backward(made, method, behind)

    def ask_teacher() -> None:
        with paddle.no_grad():
            teacher(batch)

    return {"student": student_step(args.batch, args.size, rng), "teacher": ask_teacher,
            "projectors of the second-to-last stage": projectors("s3"),
            "tail, two passes": lambda: backward([method.tail(tokens) for tokens in before], method, before),
            "projectors of the last stage": projectors("s4"), "four distances": losses,
            "ScaleKDLoss as a whole": lambda: backward(list(method(seen, said, batch).values()), method, features)}


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--teacher", default="SmallSwin")
    parser.add_argument("--size", type=int, default=64, help="pixels of the pictures")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--heads", type=int, nargs=2, default=[4, 8])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    device.start("cpu")
    paddle.base.core.set_num_threads(args.threads)
    paddle.seed(0)
    found = interleaved(pieces(args), args.rounds)
    step = sum(found[name]["cpu_s"] for name in ("student", "teacher", "ScaleKDLoss as a whole"))
    for name, row in found.items():
        row["share_of_step"] = row["cpu_s"] / step
        print(f"{name:40} {1000 * row['cpu_s']:8.1f} ms  {row['share_of_step']:.2f} of a step")
    settings = {key: value for key, value in vars(args).items() if key != "out"}
    write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": cpu_model(), "settings": settings,
                          "pieces": found})


if __name__ == "__main__":
    main()
