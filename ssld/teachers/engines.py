"""How a frozen network is run: eager, or exported once and run by paddle.inference with oneDNN.

Teachers, scoring and evaluation use these. On CPU oneDNN is faster than eager execution and agrees with it to float32
rounding; in bfloat16 it is several times faster again and agrees less closely (benchmarks/engines.py).
"""
from __future__ import annotations

import sys
from typing import Protocol

import numpy as np
import paddle
from paddle import Tensor, nn

from ..checks import one_of
from ..errors import InputError
from .eager import BATCH_NORM, EagerEngine
from .onednn import OneDNNEngine, runs_bf16

ENGINES = ("auto", "onednn_fp32", "onednn_bf16", "eager")
TOLERANCE = 1e-4            # of the spread of the answers; ResNets and MobileNets come to 5e-6
BFLOAT16_TOLERANCE = 0.1    # they come to 0.006; this finds programs that are wrong, `ssld.teachers.agreement` is finer
_COMPARED = 8               # images of the batch


class Engine(Protocol):
    """A frozen network as a function: normalised images float32 [B, 3, H, W] -> logits [B, class_num], no gradient.

    Attributes:
        name: how the network is run.
    """

    name: str

    def __call__(self, image: Tensor) -> Tensor: ...


def make_engine(network: nn.Layer, engine: str = "auto", batch_norm: str = "running") -> Engine:
    """The engine called `engine`; "auto" takes oneDNN in float32 on a CPU and eager execution on other devices.

    When the network cannot be exported, the program answers differently, or batch statistics are asked for, eager
    execution steps in, and stderr says why. "onednn_bf16" cannot run before `ssld.teachers.agreement.settle_precision` has
    found whether bfloat16 agrees with float32.

    Raises:
        InputError: an unknown engine, or oneDNN on another device than the CPU.
    """
    one_of("engine", engine, ENGINES)
    one_of("batch_norm", batch_norm, BATCH_NORM)
    on_cpu, wants_onednn = paddle.get_device() == "cpu", engine.startswith("onednn")
    if wants_onednn and not on_cpu:
        raise InputError(f"engine {engine} runs on the CPU, but the device is {paddle.get_device()}. Use engine: auto.")
    if engine == "eager" or not on_cpu or batch_norm == "batch":
        if wants_onednn:
            print(f"engine: eager instead of {engine}, since batch_norm is 'batch'", file=sys.stderr)
        return EagerEngine(network, batch_norm)
    return BFloat16Engine(network) if engine == "onednn_bf16" else _float32(network)


class CheckedEngine:
    """An engine that is compared with a slower one at the first batch of each image size.

    At the first size for which it cannot run, or answers differently, the slower one steps in for good; stderr says why.

    Args:
        engine: the fast one.
        fallback: of the same network.
        tolerance: largest difference allowed, see `spread_difference`.
    """

    def __init__(self, engine: OneDNNEngine, fallback: Engine, tolerance: float):
        self.network, self.fallback, self.tolerance = engine.network, fallback, tolerance
        self._engine: Engine = engine
        self._checked: set[tuple[int, int]] = set()

    @property
    def name(self) -> str:
        """How the network is run now."""
        return self._engine.name

    def __call__(self, image: Tensor) -> Tensor:
        size = tuple(image.shape[2:])
        if self._engine is self.fallback or size in self._checked:
            return self._engine(image)
        try:
            answer = self._engine(image)
        except Exception as error:          # whatever Paddle raises for an operator that it cannot export or run
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            return self._fall_back(f"it cannot run the network ({reason[0]})")(image)
        difference = spread_difference(answer[:_COMPARED].numpy(), self.fallback(image[:_COMPARED]).numpy())
        if not difference <= self.tolerance:
            return self._fall_back(f"their answers differ by {difference:.2g} of the spread, more than {self.tolerance}")(image)
        self._checked.add(size)
        return answer

    def _fall_back(self, reason: str) -> Engine:
        print(f"engine: {self.fallback.name} instead of {self.name}, since {reason}", file=sys.stderr)
        self._engine = self.fallback
        return self._engine


class BFloat16Engine:
    """oneDNN in float32, until bfloat16 was found to answer alike; see `ssld.teachers.agreement`.

    Args:
        network: is put into evaluation mode and frozen.

    Attributes:
        reference: runs in float32.
        candidate: runs in bfloat16; None where the CPU cannot.
    """

    def __init__(self, network: nn.Layer):
        self.network = network
        self.reference = _float32(network)
        self.candidate = OneDNNEngine(network, "bf16") if runs_bf16() else None
        self._engine: Engine | None = None

    @property
    def name(self) -> str:
        """How the network is run now."""
        return (self._engine or self.reference).name

    def settle(self, agrees: bool) -> None:
        """Run in bfloat16 from now on if it agrees with float32, else in float32."""
        self._engine = CheckedEngine(self.candidate, self.reference, BFLOAT16_TOLERANCE) if agrees else self.reference

    def __call__(self, image: Tensor) -> Tensor:
        if self._engine is None:
            raise InputError("engine onednn_bf16 is compared with float32 before it is used, which only `ssld train` does, for "
                             "Arch.teacher. Use engine: onednn_fp32 here.")
        return self._engine(image)


def _float32(network: nn.Layer) -> CheckedEngine:
    return CheckedEngine(OneDNNEngine(network), EagerEngine(network), TOLERANCE)


def spread_difference(answer: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference of two answers [B, C] relative to the largest deviation of `expected` from its row's mean."""
    spread = np.abs(expected - expected.mean(1, keepdims=True)).max()
    return float(np.abs(answer - expected).max() / max(spread, 1e-6))
