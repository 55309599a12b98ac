"""A classification network that also shows what its classifier sees: pooled features, beside the logits."""
from __future__ import annotations

import contextlib

import paddle
from paddle import Tensor, nn

from ..errors import InputError
from .stages import stages_of

_LINEAR = (nn.Linear, nn.Conv2D)


class WithFeatures(nn.Layer):
    """Any classification network, its answer widened by the input of its classifier.

    The forward pass returns one tensor, `concat([logits, features], axis=1)`, so whatever runs a network (eager
    execution, an exported program) runs this one too; `split` takes it apart. The network answers as before.

    Args:
        network: float32 [B, 3, H, W] -> logits [B, class_num]; is put into evaluation mode.
        size: height and width of a picture, pixels; asked for only where `ssld.models.stages` has no row for the
            network, whose classifier is then looked for by running it once.

    Attributes:
        feature_dim: width D of the features.

    Raises:
        InputError: no layer of the network makes the logits.
    """

    def __init__(self, network: nn.Layer, size: tuple[int, int] = (224, 224)):
        super().__init__()
        self.network = network
        network.eval()
        classifier = classifier_of_network(network, size)
        # a linear layer keeps [in, out], a convolution [out, in, height, width]
        self.feature_dim = classifier.weight.shape[0 if isinstance(classifier, nn.Linear) else 1]
        self._seen: list = []
        classifier.register_forward_pre_hook(self._look)

    def forward(self, image):
        """float32 [B, 3, H, W] -> [B, class_num + feature_dim]."""
        logits = self.network(image)
        return paddle.concat([logits, pooled(self._seen.pop())], axis=1)

    def split(self, output):
        """Logits [B, class_num] and features [B, feature_dim] of an output of `forward`, Tensor or array."""
        return output[:, :-self.feature_dim], output[:, -self.feature_dim:]

    def _look(self, layer, inputs) -> None:
        self._seen[:] = inputs[:1]


def pooled(features: Tensor) -> Tensor:
    """[B, D] as it is; the mean over the places of [B, D, H, W]."""
    return features if features.ndim == 2 else features.mean(axis=[2, 3])


def classifier_of_network(network: nn.Layer, size: tuple[int, int]) -> nn.Layer:
    """The layer that makes the logits: the one of the stages table, else the last linear one of their width."""
    layers = dict(network.named_sublayers())
    with contextlib.suppress(InputError):
        return layers[stages_of(network).classifier]
    logits, calls = _dry_run(network, size)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise InputError(f"{type(network).__name__} answers with a {type(logits).__name__}, not with one tensor of logits, "
                         "so its features are not known. Choose another network.")
    for layer, seen, made in reversed(calls):
        if made.shape[:2] == logits.shape and seen.ndim in (2, 4) and _is_pointwise(layer):
            return layer
    raise InputError(f"{type(network).__name__} has no linear layer on pooled features that makes its {logits.shape[1]} "
                     "logits. Add a row with its classifier to ssld/models/stages.py.")


def _is_pointwise(layer: nn.Layer) -> bool:
    return isinstance(layer, nn.Linear) or list(layer.weight.shape[2:]) == [1, 1]


def _dry_run(network: nn.Layer, size: tuple[int, int]) -> tuple:
    """The answer to one black picture, and (layer, input, output) of every linear layer and convolution, in order."""
    calls = []
    hooks = [layer.register_forward_post_hook(lambda layer, inputs, made: calls.append((layer, inputs[0], made)))
             for layer in network.sublayers() if isinstance(layer, _LINEAR)]
    with paddle.no_grad():
        logits = network(paddle.zeros([1, 3, *size]))
    for hook in hooks:
        hook.remove()
    return logits, calls
