"""How a frozen network is run: eager, or exported once and run by paddle.inference with oneDNN.

Teachers, scoring and evaluation use these. On CPU oneDNN is several times faster than eager execution and agrees
with it to float32 rounding (benchmarks/engines.py).
"""
from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Protocol

import numpy as np
import paddle
from paddle import Tensor, nn

from ..checks import one_of
from ..device import cpu_threads
from ..errors import InputError

ENGINES = ("auto", "onednn_fp32", "eager")
_BATCH_NORMS = (nn.BatchNorm, nn.layer.norm._BatchNormBase)        # two unrelated classes; PaddleClas uses both
BATCH_NORM = ("running", "batch")


class Engine(Protocol):
    """A frozen network as a function: normalised images float32 [B, 3, H, W] -> logits [B, class_num], no gradient.

    Attributes:
        name: how the network is run.
    """

    name: str

    def __call__(self, image: Tensor) -> Tensor: ...


class EagerEngine:
    """Runs the network layer by layer.

    Args:
        network: is put into evaluation mode and frozen.
        batch_norm: "running" statistics, or those of each "batch"; the stored ones never move.
    """

    name = "eager"

    def __init__(self, network: nn.Layer, batch_norm: str = "running"):
        self.network = freeze(network)
        if one_of("batch_norm", batch_norm, BATCH_NORM) == "batch":
            for layer in network.sublayers():
                if isinstance(layer, _BATCH_NORMS):
                    layer.training = True
                    layer._momentum = 1.0           # running = 1 * running + 0 * batch

    @paddle.no_grad()
    def __call__(self, image: Tensor) -> Tensor:
        return self.network(image).detach()


class OneDNNEngine:
    """Runs the network as an exported program on the CPU, float32.

    The export happens at the first batch, for its image size and any batch size; another size is exported again.

    Args:
        network: is put into evaluation mode and frozen; later changes of its weights do not reach the program.
        threads: CPU threads.
    """

    name = "onednn_fp32"

    def __init__(self, network: nn.Layer, threads: int | None = None):
        self.network = freeze(network)
        self.threads = threads or cpu_threads()
        self._programs: dict[tuple[int, int], OneDNNProgram] = {}

    def __call__(self, image: Tensor) -> Tensor:
        size = tuple(image.shape[2:])
        if size not in self._programs:
            self._programs[size] = self._export(size)
        return paddle.to_tensor(self._programs[size](image.numpy()))

    def _export(self, size: tuple[int, int]) -> OneDNNProgram:
        with tempfile.TemporaryDirectory(prefix="ssld-engine-") as folder:
            prefix = Path(folder) / "network"
            export_program(self.network, prefix, size)
            return OneDNNProgram(prefix, self.threads)


class OneDNNProgram:
    """An exported program (`prefix.json` + `prefix.pdiparams`) run by paddle.inference with oneDNN on the CPU.

    Args:
        prefix: path of the two files without their endings.
        threads: CPU threads.
    """

    def __init__(self, prefix: str | Path, threads: int | None = None):
        from paddle.inference import Config, create_predictor

        config = Config(f"{prefix}.json", f"{prefix}.pdiparams")
        config.disable_gpu()
        config.enable_mkldnn()
        config.set_cpu_math_library_num_threads(threads or cpu_threads())
        config.disable_glog_info()
        self.predictor = create_predictor(config)
        self.input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self.output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """float32 [B, 3, H, W] -> float32 [B, class_num]."""
        self.input.copy_from_cpu(np.ascontiguousarray(image, np.float32))
        self.predictor.run()
        return self.output.copy_to_cpu()


class ProgramEngine:
    """Runs a classifier that was exported: `prefix.json` and `prefix.pdiparams`.

    On a CPU oneDNN runs it, elsewhere Paddle itself.

    Args:
        prefix: path of the files without their endings.
        outputs: what the program returns, "logits" or "probabilities"; models exported by PaddleClas end in a softmax.

    Raises:
        InputError: files missing or damaged; or, when it runs, logits were expected and probabilities came.
    """

    name = "program"

    def __init__(self, prefix: str | Path, outputs: str = "logits"):
        self.prefix, self.outputs = prefix, one_of("outputs", outputs, ("logits", "probabilities"))
        missing = [f"{prefix}{ending}" for ending in (".json", ".pdiparams") if not Path(f"{prefix}{ending}").is_file()]
        if missing:
            raise InputError(f"the exported model {prefix} is not there: {missing[0]} is missing. Give the path of "
                             "inference.json without its ending.")
        try:
            on_cpu = paddle.get_device() == "cpu"
            self._program = OneDNNProgram(prefix) if on_cpu else EagerEngine(paddle.jit.load(str(prefix)))
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"the exported model {prefix} cannot be loaded: {str(error).strip().splitlines()[-1]}") from error

    def __call__(self, image: Tensor) -> Tensor:
        answer = self._program(image.numpy() if isinstance(self._program, OneDNNProgram) else image)
        answer = paddle.to_tensor(answer)
        if self.outputs == "probabilities":
            return paddle.log(answer.clip(min=1e-30))
        if bool((answer >= 0).all()) and bool((answer.sum(1) - 1).abs().max() < 1e-3):
            raise InputError(f"the exported model {self.prefix} returns probabilities, not logits. Set outputs: probabilities.")
        return answer


def make_engine(network: nn.Layer, engine: str = "auto", batch_norm: str = "running") -> Engine:
    """The engine called `engine`; "auto" takes oneDNN on a CPU and eager execution on other devices.

    When the network cannot be exported, or batch statistics are asked for, eager execution steps in; stderr says why.

    Raises:
        InputError: an unknown engine, or oneDNN on another device than the CPU.
    """
    one_of("engine", engine, ENGINES)
    one_of("batch_norm", batch_norm, BATCH_NORM)
    on_cpu = paddle.get_device() == "cpu"
    if engine == "onednn_fp32" and not on_cpu:
        raise InputError(f"engine onednn_fp32 runs on the CPU, but the device is {paddle.get_device()}. Use engine: auto.")
    if engine == "eager" or not on_cpu or batch_norm == "batch":
        if engine == "onednn_fp32":
            print("engine: eager instead of onednn_fp32, since batch_norm is 'batch'", file=sys.stderr)
        return EagerEngine(network, batch_norm)
    return _FallsBackToEager(OneDNNEngine(network))


class _FallsBackToEager:
    """oneDNN, until the first export fails: then eager execution, with the reason on stderr."""

    def __init__(self, engine: OneDNNEngine):
        self._engine: Engine = engine

    @property
    def name(self) -> str:
        return self._engine.name

    def __call__(self, image: Tensor) -> Tensor:
        try:
            return self._engine(image)
        except Exception as error:          # whatever Paddle raises for an operator that it cannot export or run
            if isinstance(self._engine, EagerEngine):
                raise
            reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            print(f"engine: eager, since the network cannot be exported for oneDNN ({reason[0]})", file=sys.stderr)
            self._engine = EagerEngine(self._engine.network)
            return self._engine(image)


def export_program(network: nn.Layer, prefix: str | Path, size: tuple[int, int]) -> None:
    """Write `prefix.json` and `prefix.pdiparams`: the network's forward pass for float32 images [-1, 3, *size]."""
    spec = paddle.static.InputSpec([None, 3, *size], "float32", name="image")
    paddle.jit.save(network, str(prefix), input_spec=[spec])


def freeze(network: nn.Layer) -> nn.Layer:
    """Evaluation mode, no gradients; returns the same network."""
    network.eval()
    for parameter in network.parameters():
        parameter.stop_gradient = True
    return network
