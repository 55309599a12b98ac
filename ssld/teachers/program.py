"""A classifier that was exported as a program, as an engine."""
from __future__ import annotations

from pathlib import Path

import paddle
from paddle import Tensor

from ..checks import one_of
from ..errors import InputError
from .eager import EagerEngine
from .onednn import OneDNNProgram


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
