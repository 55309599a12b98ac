"""An exponential moving average of a network's weights."""
from __future__ import annotations

import contextlib

import numpy as np
import paddle
from paddle import nn

from ..checks import below_one


class EMA:
    """average = decay * average + (1 - decay) * current, over every tensor of the state, statistics included.

    Args:
        network: whose weights are averaged.
        decay: in [0, 1).
    """

    def __init__(self, network: nn.Layer, decay: float = 0.9999):
        self.network, self.decay = network, below_one("EMA.decay", decay)
        self.average = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @paddle.no_grad()
    def update(self) -> None:
        """Take the current weights into the average; to be called after each optimizer step."""
        for name, tensor in self.network.state_dict().items():
            average = self.average[name]
            if paddle.is_floating_point(tensor):
                average.set_value(average + (1 - self.decay) * (tensor - average))      # exact for what stands still
            else:
                average.set_value(tensor)

    @contextlib.contextmanager
    def applied(self):
        """Inside the block the network has the averaged weights; afterwards its own again, to the bit."""
        own = {name: tensor.detach().clone() for name, tensor in self.network.state_dict().items()}
        self._assign(self.average)
        try:
            yield
        finally:
            self._assign(own)

    def state_dict(self) -> dict[str, paddle.Tensor]:
        """The averages themselves, under the network's names."""
        return self.average

    def state(self) -> dict[str, np.ndarray]:
        """The averages as arrays."""
        return {name: tensor.numpy() for name, tensor in self.average.items()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` returned."""
        for name, average in self.average.items():
            average.set_value(state[name])

    def _assign(self, values) -> None:
        for name, tensor in self.network.state_dict().items():
            tensor.set_value(values[name])
