"""Two habits of long training recipes for residual networks that PaddleClas's lack: stochastic depth, and blocks that begin as
identities."""
from __future__ import annotations

from collections.abc import Callable

from paddle import nn
from paddle.nn import functional as F

from ..checks import below_one
from ..errors import InputError


def set_drop_path(network: nn.Layer, drop_path: float) -> None:
    """Stochastic depth: while training, leave out the residual branch of a block for some images of a batch.

    The probability grows linearly from 0 at the first block to `drop_path` at the last; a branch that stays is scaled by
    1 / (1 - probability). Draws come from Paddle's generator. Parameters and their names stay what they are.

    Args:
        network: a ResNet (also vd) or SmallResNet.
        drop_path: in [0, 1).

    Raises:
        InputError: another network, or a rate out of range.

    Source: Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382, section 3.
    """
    branches = _branches(network)
    below_one("drop_path", drop_path)
    for place, branch in enumerate(branches):
        if place:
            branch.register_forward_post_hook(_DropPath(drop_path * place / (len(branches) - 1)))


def zero_init_last(network: nn.Layer) -> None:
    """Begin the last batch norm of each residual branch with a scale of 0, so that every block begins as its shortcut.

    Args:
        network: a ResNet (also vd) or SmallResNet.

    Raises:
        InputError: another network.

    Source: Goyal et al., "Accurate, Large Minibatch SGD", arXiv:1706.02677, section 5.1.
    """
    for branch in _branches(network):
        norm = [layer for layer in branch.sublayers() if isinstance(layer, (nn.BatchNorm, nn.BatchNorm2D))][-1]
        norm.weight.set_value(norm.weight * 0)


class _DropPath:
    """What is done to the output of a branch. No layer: sublayers' names are those of the weights in files."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, branch: nn.Layer, inputs, output):
        return F.dropout(output, self.rate, axis=0, training=branch.training)       # axis 0: an image as a whole


def _resnet(network: nn.Layer) -> list[nn.Layer]:
    return [getattr(block, "conv2", block.conv1) for block in network.blocks]


def _small_resnet(network: nn.Layer) -> list[nn.Layer]:
    return [block.conv2 for stage in (network.stage1, network.stage2, network.stage3) for block in stage]


_ROWS: dict[str, Callable[[nn.Layer], list[nn.Layer]]] = {"resnet.ResNet": _resnet, "small_resnet.SmallResNet": _small_resnet}


def _branches(network: nn.Layer) -> list[nn.Layer]:
    """The last convolution with its batch norm of each residual block, input side first."""
    key = f"{type(network).__module__.rsplit('.', 1)[-1]}.{type(network).__name__}"
    if key not in _ROWS:
        raise InputError(f"drop_path and zero_init_last know the residual blocks of ResNet and SmallResNet, not of "
                         f"{type(network).__name__}. Leave them out, or add a row to ssld/models/residual.py.")
    return _ROWS[key](network)
