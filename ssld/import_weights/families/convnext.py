"""ConvNeXt: the authors' names are PaddleClas's; timm and torchvision have their own."""
from __future__ import annotations

from collections.abc import Collection

from . import renamed

NETWORKS = ("convnext.ConvNeXt",)
_TIMM_BLOCK, _TIMM_STAGE = r"stages\.(\d)\.blocks\.(\d+)\.", r"stages.\1.\2."
_TIMM = [(r"stem\.", "downsample_layers.0."), (r"stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
         (_TIMM_BLOCK + "conv_dw", _TIMM_STAGE + "dwconv"), (_TIMM_BLOCK + r"mlp\.fc(\d)", _TIMM_STAGE + r"pwconv\3"),
         (_TIMM_BLOCK, _TIMM_STAGE), (r"head\.norm", "norm"), (r"head\.fc", "head")]
_PARTS = {r"block\.0": "dwconv", r"block\.2": "norm", r"block\.3": "pwconv1", r"block\.5": "pwconv2", "layer_scale": "gamma"}


def places(names: Collection[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    rules = _torchvision() if any(name.startswith("features.") for name in names) else _TIMM
    return {name: renamed(name, rules) for name in names}


def _torchvision() -> list[tuple[str, str]]:
    """Its `features` are downsampling (even) and stages (odd) in turn."""
    rules = [(r"classifier\.0", "norm"), (r"classifier\.2", "head")]
    for stage in range(4):
        rules.append((rf"features\.{2 * stage}\.", f"downsample_layers.{stage}."))
        block = rf"features\.{2 * stage + 1}\.(\d+)\."
        rules += [(block + theirs, rf"stages.{stage}.\1.{ours}") for theirs, ours in _PARTS.items()]
    return rules
