"""RegNetY: timm's names, which DeiT's teacher was published with, are ours; torchvision has its own."""
from __future__ import annotations

from collections.abc import Iterable

from . import renamed

NETWORKS = ("regnet_y.RegNetY",)
_LAYERS = {"0": "conv", "1": "bn"}
_PARTS = {r"proj": "downsample", r"f\.a": "conv1", r"f\.b": "conv2", r"f\.c": "conv3"}


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    rules = [(r"head\.fc\.", "fc."), *_torchvision(network)]
    return {name: renamed(name, rules) for name in names}


def _torchvision(network) -> list[tuple[str, str]]:
    """Its blocks are counted from 0, ours from 1; its layers have numbers."""
    rules = [(rf"stem\.{number}\.", f"stem.{layer}.") for number, layer in _LAYERS.items()]
    for stage, name in enumerate(network.stages, 1):
        for block in range(len(getattr(network, name))):
            theirs, ours = rf"trunk_output\.block{stage}\.block{stage}-{block}\.", f"{name}.b{block + 1}."
            rules += [(theirs + rf"{part}\.{number}\.", f"{ours}{own}.{layer}.")
                      for part, own in _PARTS.items() for number, layer in _LAYERS.items()]
            rules.append((theirs + r"f\.se\.", f"{ours}se."))
    return rules
