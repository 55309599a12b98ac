"""A network's weights as a safetensors file."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from paddle import nn

from dedup.files import atomic_write

SAFETENSORS = "student.safetensors"


def write_safetensors(network: nn.Layer, arch: Mapping, folder: Path) -> dict[str, dict]:
    """Write student.safetensors: every tensor under PaddleClas's key name, backbone and class_num in the header.

    Args:
        network: with its weights.
        arch: name and class_num of the backbone.
        folder: to write into.

    Returns:
        student.safetensors -> {"tensors": how many it holds, "dropped": []}.

    Raises:
        InputError: the file cannot be written.

    Source: https://github.com/huggingface/safetensors.
    """
    from safetensors.numpy import load_file, save

    tensors = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in network.state_dict().items()}
    with atomic_write(folder / SAFETENSORS, "wb") as out:
        out.write(save(tensors, {"format": "pd", "backbone": arch["name"], "class_num": str(arch["class_num"])}))
    found = load_file(str(folder / SAFETENSORS))
    if found.keys() != tensors.keys() or any(found[name].tobytes() != tensors[name].tobytes() for name in tensors):
        raise RuntimeError(f"{SAFETENSORS} does not hold what was written into it; please report this")
    return {SAFETENSORS: {"tensors": len(tensors), "dropped": []}}
