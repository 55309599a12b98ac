"""Weight files of other frameworks: name -> array, whatever the file's format."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..registry import nearest
from .safetensors import read_safetensors
from .torch_files import OLD, ZIP, read_torch

_WRAPPERS = ("module.", "_orig_mod.")       # what data-parallel training and compilation put in front of every name
_STUDENT = "student."                       # of a distiller that was saved whole: teacher and projectors stand beside it
_PADDLE = ".pdparams"


def read_tensors(file: str | Path, part: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of one network in a safetensors file or in a file of `torch.save`, by the names they have there.

    Nothing that the file asks for is run, and PyTorch is not needed. Of a distiller that was saved whole, as ScaleKD's released
    code does, these are the student's: those whose names begin with "student.", which is left out.

    Args:
        file: its content tells the format.
        part: which entry of a training checkpoint, such as "model" or "model_ema", where several hold a network; dots lead
            deeper.

    Returns:
        Arrays, not writable; bfloat16 as float32.

    Raises:
        InputError: no such file, damaged, of another format, asking for more than weights, or holding several networks.
    """
    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file} does not exist.")
    with open(file, "rb") as stream:
        start = stream.read(max(len(ZIP), len(OLD)))
    if not start:
        raise InputError(f"{file} is empty.")
    if file.suffix == _PADDLE:
        raise InputError(f"{file} holds weights of Paddle already: give its path to `pretrained` as it is.")
    of_torch = start.startswith((ZIP, OLD))
    return _unwrapped(_network_in(read_torch(file) if of_torch else read_safetensors(file), file, part))


def _network_in(content, file: Path, part: str | None) -> Mapping[str, np.ndarray]:
    """The state dict in what a file holds."""
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no mapping of names to tensors. Expected a state dict, alone or in a checkpoint.")
    found = dict(_state_dicts(content, "", set()))
    if part is not None:
        if part not in found:
            raise InputError(f"{file} has no network '{part}'. {nearest(part, filter(None, found))}")
        return found[part]
    if not found:
        raise InputError(f"{file} holds no tensors by name. Expected a state dict, alone or in a checkpoint.")
    if len(found) > 1:
        each = ", ".join(f"'{name}' ({len(tensors)} tensors)" for name, tensors in found.items())
        raise InputError(f"{file} holds several networks: {each}. Say which one is meant with --part NAME.")
    return next(iter(found.values()))


def _state_dicts(content: Mapping, name: str, seen: set):
    """(name, tensors) of every mapping in which tensors stand."""
    if id(content) in seen:
        return
    seen.add(id(content))
    tensors = {key: value for key, value in content.items() if isinstance(value, np.ndarray) and value.ndim <= 5}
    if any(value.ndim > 1 for value in tensors.values()):           # a state dict has a matrix somewhere
        yield name, tensors
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _state_dicts(value, f"{name}.{key}" if name else key, seen)


def _unwrapped(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without what all names begin with because of how the network was trained, and without what was trained beside it."""
    for prefix in _WRAPPERS:
        if all(name.startswith(prefix) for name in tensors):
            tensors = _below(prefix, tensors)
    return _below(_STUDENT, tensors) or dict(tensors)


def _below(prefix: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those whose names begin with `prefix`, without it."""
    return {name[len(prefix):]: value for name, value in tensors.items() if name.startswith(prefix)}
