"""Training a part of a network while the rest stands still, to the bit."""
from __future__ import annotations

from collections.abc import Sequence

from paddle import nn

from ..errors import InputError
from .frozen_norm import differentiable
from .stages import stages_of, starts_with
from .weights import fingerprint

CLASSIFIER = "classifier"       # stands for the backbone's last linear layer, whatever its name


class Frozen:
    """The part of a network that does not train: no gradient, and evaluation mode.

    Parameters without gradient are not enough: batch norm would go on moving its statistics, and dropout would go on
    dropping.

    Args:
        network: of which only `trainable` trains.
        trainable: prefixes of parameter names; "classifier" stands for the last linear layer.

    Raises:
        InputError: no list of prefixes, or one that fits no parameter.
    """

    def __init__(self, network: nn.Layer, trainable: Sequence[str]):
        if not isinstance(trainable, (list, tuple)) or not all(isinstance(name, str) for name in trainable):
            raise InputError(f"trainable must be a list of parameter prefixes such as [classifier], not {trainable!r}.")
        self.network = network
        self.trainable = [stages_of(network).classifier if name == CLASSIFIER else name for name in trainable]
        names = [name for name, _ in network.named_parameters()]
        for prefix in self.trainable:
            if not any(starts_with(name, prefix) for name in names):
                raise InputError(f"trainable: no parameter begins with '{prefix}'. The network has: "
                                 f"{', '.join(sorted({name.split('.')[0] for name in names}))}.")
        for name, parameter in network.named_parameters():
            if not self._trains(name):
                parameter.stop_gradient = True
        differentiable(network)             # what trains may lie before what stands still

    def hold(self) -> None:
        """Put everything but the trainable part into evaluation mode; to be called after each `train()`."""
        self.network.eval()
        for name, layer in self.network.named_sublayers():
            if self._trains(name):
                layer.training = True

    def fingerprint(self) -> str:
        """SHA-256 over every tensor that must not change, buffers included."""
        return fingerprint({name: t for name, t in self.network.state_dict().items() if not self._trains(name)})

    def _trains(self, name: str) -> bool:
        return any(starts_with(name, prefix) for prefix in self.trainable)
