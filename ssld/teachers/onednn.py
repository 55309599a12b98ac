"""A frozen network exported once and run by paddle.inference with oneDNN on the CPU, in float32 or bfloat16."""
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import paddle
from paddle import Tensor, nn

from ..checks import one_of
from ..device import cpu_threads
from .eager import freeze

PRECISIONS = ("fp32", "bf16")


class OneDNNEngine:
    """Runs the network as an exported program on the CPU.

    The export happens at the first batch, for its image size and any batch size; another size is exported again.

    Args:
        network: is put into evaluation mode and frozen; later changes of its weights do not reach the program.
        precision: of the arithmetic; "bf16" needs a CPU that `runs_bf16`. Images and logits are float32 either way.
        threads: CPU threads.
    """

    def __init__(self, network: nn.Layer, precision: str = "fp32", threads: int | None = None):
        self.network = freeze(network)
        self.precision, self.threads = one_of("precision", precision, PRECISIONS), threads or cpu_threads()
        self.name = f"onednn_{precision}"
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
            return OneDNNProgram(prefix, self.threads, self.precision)


class OneDNNProgram:
    """An exported program (`prefix.json` + `prefix.pdiparams`) run by paddle.inference with oneDNN on the CPU.

    Args:
        prefix: path of the two files without their endings.
        threads: CPU threads.
        precision: "fp32" or "bf16".
    """

    def __init__(self, prefix: str | Path, threads: int | None = None, precision: str = "fp32"):
        from paddle.inference import Config, create_predictor

        config = Config(f"{prefix}.json", f"{prefix}.pdiparams")
        config.disable_glog_info()
        config.disable_gpu()
        config.enable_mkldnn()
        if precision == "bf16":
            config.enable_mkldnn_bfloat16()
        config.set_cpu_math_library_num_threads(threads or cpu_threads())
        self.predictor = create_predictor(config)
        self.input = self.predictor.get_input_handle(self.predictor.get_input_names()[0])
        self.output = self.predictor.get_output_handle(self.predictor.get_output_names()[0])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """float32 [B, 3, H, W] -> float32 [B, class_num]."""
        self.input.copy_from_cpu(np.ascontiguousarray(image, np.float32))
        self.predictor.run()
        return self.output.copy_to_cpu()


def runs_bf16() -> bool:
    """Whether this CPU computes in bfloat16 (avx512_bf16, which every CPU with amx_bf16 has too)."""
    return bool(paddle.base.core.supports_bfloat16_fast_performance())


def export_program(network: nn.Layer, prefix: str | Path, size: tuple[int, int]) -> None:
    """Write `prefix.json` and `prefix.pdiparams`: the network's forward pass for float32 images [-1, 3, *size]."""
    spec = paddle.static.InputSpec([None, 3, *size], "float32", name="image")
    paddle.jit.save(network, str(prefix), input_spec=[spec])
