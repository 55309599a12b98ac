"""A frozen network run layer by layer, as Paddle does by itself."""
from __future__ import annotations

import paddle
from paddle import Tensor, nn

from ..checks import one_of

BATCH_NORM = ("running", "batch")
_BATCH_NORMS = (nn.BatchNorm, nn.layer.norm._BatchNormBase)        # two unrelated classes; PaddleClas uses both


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


def freeze(network: nn.Layer) -> nn.Layer:
    """Evaluation mode, no gradients; returns the same network."""
    network.eval()
    for parameter in network.parameters():
        parameter.stop_gradient = True
    return network
