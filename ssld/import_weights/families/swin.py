"""Swin Transformer: the authors' names are PaddleClas's; timm moved the patch merging, torchvision has its own."""
from __future__ import annotations

from collections.abc import Collection

from . import renamed

NETWORKS = ("swin_transformer.SwinTransformer",)
_COMMON = [(r".*\.relative_position_index$", None), (r".*\.attn_mask$", None), (r"head\.fc\.", "head.")]


def places(names: Collection[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    if any(name.startswith("features.") for name in names):
        rules = [*_COMMON, *_torchvision(network.num_layers)]
    elif any(name.startswith("layers.0.downsample.") for name in names):        # at the end of a stage, as the authors have it
        rules = _COMMON
    else:
        rules = [*_COMMON, *((rf"layers\.{stage}\.downsample", f"layers.{stage - 1}.downsample")
                             for stage in range(1, network.num_layers))]
    return {name: renamed(name, rules) for name in names}


def _torchvision(stages: int) -> list[tuple[str, str]]:
    """Its `features` are the stem, then stages (odd) and patch merging (even) in turn."""
    rules = [(r"features\.0\.0", "patch_embed.proj"), (r"features\.0\.2", "patch_embed.norm")]
    for stage in range(stages):
        theirs, ours = rf"features\.{2 * stage + 1}\.(\d+)\.", rf"layers.{stage}.blocks.\1."
        rules += [(theirs + r"mlp\.0", ours + "mlp.fc1"), (theirs + r"mlp\.3", ours + "mlp.fc2"), (theirs, ours),
                  (rf"features\.{2 * stage + 2}\.", f"layers.{stage}.downsample.")]
    return rules
