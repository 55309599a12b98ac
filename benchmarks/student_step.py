"""What a student's own training step costs on CPU in other ways than eager mode, and whether its result stays the same.

    python benchmarks/student_step.py --out benchmarks/results/student_step.json
    python benchmarks/student_step.py --out two_threads.json --threads 2 --students SmallResNet

A step is: forward pass in training mode, JSDivLoss against fixed teacher logits, backward pass, Momentum with L2. The
alternatives take turns in one process, each on a copy of the same student; figures are medians of CPU seconds (all
threads) and of wall time, and how many times as fast as eager mode they are. Beside them stands, after the first step,
the largest difference of the loss, of the parameters and of the running statistics to eager mode's. Each student has a
process of its own, and a second one in which the C library's allocator gives nothing back to the system ("kept_memory").

Alternatives:
    eager          nn.Conv2D and Momentum as they are
    onednn         `ssld.models.onednn.use_onednn`: convolutions wider than one pixel
    onednn_all     the same for pointwise convolutions too
    onednn_depthwise   the same for depthwise convolutions only
    multi_tensor   eager, Momentum(use_multi_tensor=True)
    to_static      paddle.jit.to_static of the whole student, native kernels
    unfold         eager, dense convolutions as F.unfold and a matrix product
"""
from __future__ import annotations

import argparse
import copy
import ctypes
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import paddle
from paddle import nn
from paddle.nn import functional as F

from dedup.files import write_json
from ssld import __version__, device
from ssld.distiller import Distiller, Term
from ssld.methods.js import JSDivLoss
from ssld.models import onednn
from ssld.models.zoo import build_network
from ssld.optim.optimizers import exempt_from_decay, trainable
from ssld.outputs import Outputs

STUDENTS = {"SmallResNet": (32, 128), "ResNet18": (64, 32), "ResNet50_vd": (64, 16), "MobileNetV3_small_x0_35": (224, 8),
            "MobileNetV3_large_x1_0": (224, 8), "MobileNetV1": (64, 16)}
CLASSES = 100
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4        # of malloc.h


class FixedTeacher:
    """The same logits for every batch."""

    provides = frozenset({"logits", "probabilities"})

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, batch):
        return Outputs(self.logits)


class UnfoldConv2D(nn.Conv2D):
    """A dense convolution as one matrix product."""

    def forward(self, x):
        if self._groups > 1:
            return super().forward(x)
        columns = F.unfold(x, self._kernel_size, self._stride, self._updated_padding, self._dilation)
        size = [(x.shape[2 + i] + 2 * self._updated_padding[i] - self._kernel_size[i]) // self._stride[i] + 1 for i in (0, 1)]
        y = paddle.matmul(self.weight.flatten(1), columns).reshape([x.shape[0], -1, *size])
        return y if self.bias is None else y + self.bias.reshape([1, -1, 1, 1])


def convolutions(network: nn.Layer, kind: type, which=lambda layer: True) -> nn.Layer:
    """`network` with some of its convolutions turned into another class."""
    for layer in network.sublayers():
        if type(layer) is nn.Conv2D and which(layer):
            layer.__class__ = kind
    return network


def with_onednn(network: nn.Layer) -> nn.Layer:
    onednn.use_onednn(network)
    return network


ALTERNATIVES = {
    "eager": lambda network: network,
    "onednn": with_onednn,
    "onednn_all": lambda network: convolutions(network, onednn._OneDNNConv2D),
    "onednn_depthwise": lambda network: convolutions(network, onednn._OneDNNConv2D, lambda c: c._groups > 1),
    "multi_tensor": lambda network: network,
    "to_static": lambda network: paddle.jit.to_static(network, full_graph=True),
    "unfold": lambda network: convolutions(network, UnfoldConv2D),
}


def step_of(network: nn.Layer, image, logits, multi_tensor: bool):
    """One training step as a function that returns the loss."""
    distiller = Distiller(network, FixedTeacher(logits), [Term(JSDivLoss())])
    distiller.train()
    exempt_from_decay(network, [], False)
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, trainable(network), use_multi_tensor=multi_tensor,
                                          weight_decay=paddle.regularizer.L2Decay(1e-4))

    def step() -> float:
        paddle.seed(0)              # the same dropout
        loss = distiller({"image": image}).total
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        return float(loss)
    return step


def differences(network: nn.Layer, eager: nn.Layer) -> dict:
    """Largest difference of parameters and of running statistics, each relative to the largest of its tensor."""
    worst = {"parameters": 0.0, "statistics": 0.0}
    for (name, a), b in zip(eager.state_dict().items(), network.state_dict().values()):
        kind = "statistics" if name.endswith(("_mean", "_variance")) else "parameters"
        worst[kind] = max(worst[kind], float((a - b).abs().max() / a.abs().max().clip(min=1e-2)))
    return worst


def run_student(name: str, alternatives: list[str], rounds: int) -> dict:
    """Times and differences of each alternative for one student; the first two rounds are discarded."""
    size, batch = STUDENTS[name]
    paddle.seed(0)
    image, logits = paddle.randn([batch, 3, size, size]), paddle.randn([batch, CLASSES])
    first = build_network(name, CLASSES)
    networks = {kind: ALTERNATIVES[kind](copy.deepcopy(first)) for kind in alternatives}
    steps = {kind: step_of(network, image, logits, kind == "multi_tensor") for kind, network in networks.items()}
    times, result = {kind: [] for kind in steps}, {}
    for number in range(rounds + 2):
        for kind, step in steps.items():
            cpu, wall = time.process_time(), time.perf_counter()
            loss = step()
            times[kind].append((time.process_time() - cpu, time.perf_counter() - wall))
            if not number:
                result[kind] = {"loss": loss}
        if not number:
            loss = result["eager"]["loss"]
            for kind, network in networks.items():
                result[kind] = {"loss_difference": abs(result[kind]["loss"] - loss) / loss,
                                **differences(network, networks["eager"])}
    for kind, pairs in times.items():
        result[kind]["cpu_s"], result[kind]["wall_s"] = (statistics.median(t) for t in zip(*pairs[2:]))
    for kind in result:
        for what in ("cpu", "wall"):
            result[kind][f"{what}_speedup"] = result["eager"][f"{what}_s"] / result[kind][f"{what}_s"]
    return result


def keep_memory() -> None:
    """Let the C library keep freed memory instead of returning it to the system after each step."""
    library = ctypes.CDLL(None)
    for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 64 << 20)):
        library.mallopt(option, value)


def one_student(name: str, rounds: int, threads: int, keep: bool) -> dict:
    """`run_student` in this process."""
    if keep:
        keep_memory()
    device.start("cpu")
    paddle.base.core.set_num_threads(threads)
    return run_student(name, ["eager", "onednn"] if keep else list(ALTERNATIVES), rounds)


def in_own_process(name: str, args: argparse.Namespace, keep: bool) -> dict:
    """`one_student` in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        subprocess.run([sys.executable, __file__, "--out", str(out), "--rounds", str(args.rounds), "--threads",
                        str(args.threads), "--one", name, *(["--keep-memory"] if keep else [])], check=True)
        return json.loads(out.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--one", choices=list(STUDENTS), help=argparse.SUPPRESS)
    parser.add_argument("--keep-memory", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        write_json(args.out, one_student(args.one, args.rounds, args.threads, args.keep_memory))
        return
    students = {}
    for name in args.students:
        plain, kept = in_own_process(name, args, False), in_own_process(name, args, True)
        students[name] = {"size": STUDENTS[name][0], "batch": STUDENTS[name][1], "alternatives": plain, "kept_memory": kept}
        print(name, {kind: round(row["cpu_speedup"], 2) for kind, row in plain.items()}, "kept memory",
              {kind: round(plain["eager"]["cpu_s"] / row["cpu_s"], 2) for kind, row in kept.items()}, flush=True)
        write_json(args.out, {"ssld": __version__, "paddle": paddle.__version__, "cpu": cpu_model(), "threads": args.threads,
                              "rounds": args.rounds, "students": students})


def cpu_model() -> str:
    """The processor as the system names it, with the instructions that decide which kernels oneDNN takes."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    fields = dict(line.split(":", 1) for line in info.split("\n\n")[0].splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = [flag for flag in fields.get("flags", "").split() if flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")]
    return f"{fields.get('model name', platform.processor())}; {' '.join(flags)}"


if __name__ == "__main__":
    main()
