"""Reading named features of a network while it runs, without touching the network.

Names that mean the same for every backbone with a row in `ssld.models.stages`:
    stage0, stage1, ...   the output of each group of layers that the row names, input side first; stage0 is the stem of most
    pre_stage1, ...       the same before the last activation of a residual block
    penultimate, final    the end of the last stage but one, and the last feature before pooling, behind the layer norm of all
                          tokens where there is one
    pool                  what the classifier sees, [B, D]
Any other name is that of a sublayer, whose output is meant.
"""
from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor, nn

from ..errors import InputError
from ..registry import nearest
from .features import classifier_of_network, pooled
from .stages import FINAL, PENULTIMATE, stages_of

POOL = "pool"
_STAGE = re.compile(r"(pre_)?stage(\d+)")
_ACTIVATIONS = ("relu", "act", "lastact")       # attributes of a residual block that hold its last activation


class Taps:
    """A network that shows some of its features beside its logits.

    Args:
        network: float32 [B, 3, H, W] -> logits [B, class_num].
        names: of the features, see above.
        size: height and width of a picture, pixels.

    Attributes:
        shapes: name -> shape without the batch axis.

    Raises:
        InputError: a name that this network does not have.
    """

    def __init__(self, network: nn.Layer, names: Sequence[str], size: tuple[int, int] = (224, 224)):
        self.network, self.names = network, tuple(dict.fromkeys(names))
        self._seen: dict[str, Tensor] = {}
        for name in self.names:
            self._tap(name, size)
        self.shapes = self._dry_run(size)

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits of a batch, and its features by name."""
        logits = self.network(image)
        features, self._seen = self._seen, {}
        return logits, features

    def _tap(self, name: str, size: tuple[int, int]) -> None:
        def look(value) -> None:
            self._seen[name] = value

        stage = _STAGE.fullmatch(name)
        if name == POOL:
            layer = classifier_of_network(self.network, size)
            layer.register_forward_pre_hook(lambda layer, inputs: look(pooled(inputs[0])))
        elif stage and stage[1]:
            _last_activation(self.network, int(stage[2])).register_forward_pre_hook(lambda layer, inputs: look(inputs[0]))
        else:
            layer = _layer(self.network, _last_of_stage(self.network, int(stage[2])) if stage else self._portable(name))
            layer.register_forward_post_hook(lambda layer, inputs, made: look(made))

    def _portable(self, name: str) -> str:
        """The sublayer that a name stands for."""
        return stages_of(self.network).ends[name] if name in (PENULTIMATE, FINAL) else name

    def _dry_run(self, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """One black picture, in evaluation mode so that no statistics move."""
        training = {name: layer.training for name, layer in self.network.named_sublayers(include_self=True)}
        self.network.eval()
        with paddle.no_grad():
            _, features = self(paddle.zeros([1, 3, *size]))
        for name, layer in self.network.named_sublayers(include_self=True):
            layer.training = training[name]
        silent = [name for name in self.names if not isinstance(features.get(name), Tensor)]
        if silent:
            raise InputError(f"{type(self.network).__name__} gives no tensor at '{silent[0]}'. Choose another feature.")
        return {name: tuple(features[name].shape[1:]) for name in self.names}


class Tapped(nn.Layer):
    """A network whose answer is one tensor, [B, class_num + all features]: what every engine can run.

    Args:
        network, names, size: see Taps.
    """

    def __init__(self, network: nn.Layer, names: Sequence[str], size: tuple[int, int]):
        super().__init__()
        self.network = network
        network.eval()
        self.taps = Taps(network, names, size)

    def forward(self, image):
        """float32 [B, 3, H, W] -> [B, class_num + the sizes of the features]."""
        logits, features = self.taps(image)
        return paddle.concat([logits, *(features[name].flatten(1) for name in self.taps.names)], axis=1)

    def split(self, output: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits and features of an output of `forward`."""
        sizes = [int(np.prod(self.taps.shapes[name])) for name in self.taps.names]
        logits, *parts = paddle.split(output, [output.shape[1] - sum(sizes), *sizes], axis=1)
        return logits, {name: part.reshape([-1, *self.taps.shapes[name]]) for name, part in zip(self.taps.names, parts)}


def _layer(network: nn.Layer, name: str) -> nn.Layer:
    layers = dict(network.named_sublayers())
    if name not in layers:
        raise InputError(f"{type(network).__name__} has no feature '{name}'. {nearest(name, [POOL, *layers])}")
    return layers[name]


def _last_of_stage(network: nn.Layer, stage: int) -> str:
    """Name of the sublayer whose output is that of a stage."""
    stages = stages_of(network)
    count = sum(map(bool, stages.groups))              # the last group of a small member may be empty
    if stage >= count:
        raise InputError(f"this {stages.family} has the stages 0 to {count - 1}, no stage {stage}.")
    return stages.groups[stage][-1]


def _last_activation(network: nn.Layer, stage: int) -> nn.Layer:
    """The layer behind the residual sum of a stage's last block."""
    block = _layer(network, _last_of_stage(network, stage))
    while isinstance(block, nn.Sequential):
        block = block[-1]
    for activation in _ACTIVATIONS:
        layer = getattr(block, activation, None)
        if isinstance(layer, nn.Layer):
            return layer
    raise InputError(f"{type(network).__name__}: the last block of stage {stage} has no activation behind its residual sum "
                     f"(looked for {', '.join(_ACTIVATIONS)}). Use 'stage{stage}'.")
