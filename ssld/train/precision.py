"""Mixed precision through paddle.amp."""
from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import paddle

from ..checks import one_of, positive


class Precision:
    """Casts the forward pass and scales the loss, where the device can.

    Args:
        use_amp: switch it on. On the CPU Paddle casts nothing, so it stays off there, with a warning.
        level: O1 casts chosen operators, O2 nearly all.
        dtype: float16 (with loss scaling) or bfloat16 (without).
        scale_loss: first loss scale.
        use_dynamic_loss_scaling: let the scale follow overflows.
    """

    def __init__(self, use_amp: bool = False, level: str = "O1", dtype: str = "float16", scale_loss: float = 65536.0,
                 use_dynamic_loss_scaling: bool = True):
        self.level, self.dtype = one_of("AMP.level", level, ("O1", "O2")), one_of("AMP.dtype", dtype, ("float16", "bfloat16"))
        self.enabled = one_of("AMP.use_amp", use_amp, (True, False)) and paddle.get_device() != "cpu"
        if use_amp and not self.enabled:
            print("warning: AMP.use_amp has no effect on the CPU: nothing is cast", file=sys.stderr)
        self.scaler = paddle.amp.GradScaler(self.enabled and dtype == "float16",
                                            init_loss_scaling=positive("AMP.scale_loss", scale_loss),
                                            use_dynamic_loss_scaling=use_dynamic_loss_scaling)

    def cast(self):
        """Context of the forward pass."""
        return paddle.amp.auto_cast(enable=self.enabled, level=self.level, dtype=self.dtype)

    def backward(self, loss) -> None:
        """Gradients of the (scaled) loss."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer) -> None:
        """One optimizer step; a step whose scaled gradients overflowed is left out and the scale lowered."""
        self.scaler.step(optimizer)
        self.scaler.update()

    def state(self) -> dict[str, np.ndarray]:
        """The loss scale and its counters as arrays; empty when nothing is scaled."""
        return {name: np.asarray(value) for name, value in self.scaler.state_dict().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        if state:
            self.scaler.load_state_dict({name: value if value.ndim else value.item() for name, value in state.items()})
