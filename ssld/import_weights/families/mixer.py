"""MLP-Mixer: timm's names are ours but for the patch embedding; OpenMMLab has its own."""
from __future__ import annotations

from collections.abc import Iterable

from . import OPENMMLAB, renamed

NETWORKS = ("mixer.Mixer",)
_RULES = [(r"stem\.", "patch_embed."), *OPENMMLAB]


def places(names: Iterable[str], network) -> dict[str, str | None]:
    """See ssld.import_weights.families."""
    return {name: renamed(name, _RULES) for name in names}
