"""One file per architecture: how its tensors are called elsewhere. Every file of this folder is found by itself.

A family is a module with
    NETWORKS                    "module.Class" of the networks of ours that it is about
    places(names, network)      name in a file -> name in `network`, None for what it does not need; unknown names keep theirs
    made(missing)               optional: of the tensors that the file has not (name -> array of the new network), those that it
                                need not have, with the value that stands for that
"""
from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from types import ModuleType

from paddle import nn

from ...errors import InputError

Rules = Sequence["tuple[str, str | None]"]

# OpenMMLab's names of networks of tokens, which ScaleKD's released weights have, in those of timm
_LAYER = r"backbone\.layers\.(\d+)\."
_MLPS = {"ffn": "mlp", "token_mix": "mlp_tokens", "channel_mix": "mlp_channels"}
OPENMMLAB: Rules = [
    *((rf"{_LAYER}{theirs}\.layers\.0\.0", rf"blocks.\1.{ours}.fc1") for theirs, ours in _MLPS.items()),
    *((rf"{_LAYER}{theirs}\.layers\.1", rf"blocks.\1.{ours}.fc2") for theirs, ours in _MLPS.items()),
    (rf"{_LAYER}ln(\d)", r"blocks.\1.norm\2"), (r"backbone\.layers\.", "blocks."), (r"backbone\.ln1\.", "norm."),
    (r"backbone\.ln2\.", "fc_norm."), (r"backbone\.patch_embed\.projection", "patch_embed.proj"), (r"backbone\.", ""),
    (r"head\.(?:fc|layers\.head)\.", "head.")]


def family_of(network: nn.Layer) -> ModuleType:
    """The family that `network` belongs to.

    Raises:
        InputError: none is known.
    """
    key = f"{type(network).__module__.rsplit('.', 1)[-1]}.{type(network).__name__}"
    families = [importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    for family in families:
        if key in family.NETWORKS:
            return family
    known = ", ".join(sorted(network.split(".")[-1] for family in families for network in family.NETWORKS))
    raise InputError(f"how weights of {type(network).__name__} are called elsewhere is not known. Known networks: {known}. Use "
                     "an ONNX file of the teacher instead (Arch.teacher: {source: onnx, path: ...}), or add a file to "
                     "ssld/import_weights/families.")


def renamed(name: str, rules: Rules) -> str | None:
    """A name after the first of the (pattern, replacement) rules that fits its beginning; unchanged if none does.

    A replacement of None means that the tensor is not needed.
    """
    for pattern, replacement in rules:
        found = re.match(pattern, name)
        if found:
            return None if replacement is None else found.expand(replacement) + name[found.end():]
    return name
