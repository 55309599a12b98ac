"""ResNets as timm, torchvision and OpenMMLab name them, and their ResNet-D, which is PaddleClas's ResNet*_vd."""
from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from . import renamed

NETWORKS = ("resnet.ResNet",)
_BLOCK = re.compile(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)")
_DEEP_STEM = re.compile(r"conv1\.(\d)\.(\w+)")
_LAYERS = ("conv", "bn")
_OPENMMLAB = [(r"backbone\.stem\.", "conv1."), (r"backbone\.", ""), (r"head\.fc\.", "fc.")]
_EPSILON = 1e-5                 # of batch normalisation, in both


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    first = [sum(network.block_depth[:stage]) for stage in range(len(network.block_depth))]
    theirs = {name: renamed(name, _OPENMMLAB) for name in names}
    return {name: _block(known, network, first) or _stem(known, network.is_vd_mode) for name, known in theirs.items()}


def made(missing: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """PaddleClas's ResNet-18 and -34 have a convolution in the first shortcut, where others pass on the input: the identity."""
    weight = missing.get("blocks.0.short.conv.weight")
    if weight is None or weight.shape[0] != weight.shape[1]:
        return {}
    channels = len(weight)
    values = {"conv.weight": np.eye(channels)[:, :, None, None], "bn.weight": np.full(channels, math.sqrt(1 + _EPSILON)),
              "bn.bias": np.zeros(channels), "bn._mean": np.zeros(channels), "bn._variance": np.ones(channels)}
    return {f"blocks.0.short.{name}": value for name, value in values.items()}


def _block(name: str, network, first: list[int]) -> str | None:
    """Of a tensor of a residual block: layer3.0.conv2.weight -> blocks.7.conv1.conv.weight."""
    found = _BLOCK.fullmatch(name)
    if not found or int(found[1]) > len(first) or int(found[2]) >= network.block_depth[int(found[1]) - 1]:
        return None
    stage, block, sort, number, leaf = int(found[1]), int(found[2]), found[3], int(found[4]), found[5]
    target = f"blocks.{first[stage - 1] + block}"
    if sort in _LAYERS:
        return f"{target}.conv{number - 1}.{sort}.{leaf}"
    place = number - 1 if network.is_vd_mode else number            # ResNet-D pools first
    return f"{target}.short.{_LAYERS[place]}.{leaf}" if place in (0, 1) else None


def _stem(name: str, is_vd: bool) -> str:
    found = _DEEP_STEM.fullmatch(name)
    if is_vd and found:                                             # three convolutions, with a ReLU behind the first two
        return f"stem.{int(found[1]) // 3}.{'conv' if int(found[1]) % 3 == 0 else 'bn'}.{found[2]}"
    for layer in _LAYERS:
        if name.startswith(f"{layer}1."):
            return f"stem.{2 if is_vd else 0}.{layer}.{name[len(layer) + 2:]}"
    return name
