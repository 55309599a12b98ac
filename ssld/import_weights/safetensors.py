"""Reader of safetensors files: eight bytes for the length of a JSON header, the header, the tensors."""
from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np

from ..errors import InputError
from .elements import KINDS, decode, item_size

_LENGTH = struct.Struct("<Q")
_LARGEST_HEADER = 100_000_000       # bytes, as in the format's definition
_METADATA = "__metadata__"


def read_safetensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a file by name, views of the mapped file; bfloat16 becomes float32.

    Raises:
        InputError: not whole, or not of this format.

    Source: the format's definition, https://github.com/huggingface/safetensors.
    """
    data = np.memmap(file, np.uint8, "r")
    entries, first = _header(data, file)
    tensors, end = {}, 0
    for name, entry in sorted(entries.items(), key=lambda item: _offsets(*item, file)):
        kind, shape, (start, stop) = entry["dtype"], entry["shape"], _offsets(name, entry, file)
        if start != end or first + stop > len(data):
            raise InputError(f"{file} is damaged: {name} claims the bytes {start:,} to {stop:,}, expected from {end:,} and up "
                             f"to {len(data) - first:,}. Was it cut off while it was copied?")
        if math.prod(shape) * item_size(kind) != stop - start:
            raise InputError(f"{file} is damaged: {name} has {stop - start:,} bytes, not those of {kind} {shape}.")
        tensors[name], end = decode(data[first + start:first + stop], kind).reshape(shape), stop
    if first + end != len(data):
        raise InputError(f"{file} is damaged: {len(data) - first - end:,} bytes behind the last tensor belong to none.")
    return tensors


def _header(data: np.ndarray, file: Path) -> tuple[dict, int]:
    """What the header says of each tensor, and where the first one begins."""
    length = _LENGTH.unpack(data[:_LENGTH.size].tobytes())[0] if len(data) > _LENGTH.size else 0
    first = _LENGTH.size + length
    if not 2 <= length <= _LARGEST_HEADER or first > len(data):
        raise InputError(f"{file} is neither a file of torch.save nor a whole safetensors file: its first eight bytes claim a "
                         f"header of {length:,} bytes, the file has {len(data):,}.")
    try:
        entries = json.loads(data[_LENGTH.size:first].tobytes().decode(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no safetensors file: its header is no JSON ({error}).") from error
    if not isinstance(entries, dict):
        raise InputError(f"{file} is no safetensors file: its header is a {type(entries).__name__}, not a mapping.")
    entries.pop(_METADATA, None)
    return entries, first


def _each_once(pairs: list) -> dict:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _offsets(name: str, entry, file: Path) -> tuple[int, int]:
    """First byte and end of a tensor, counted from the first tensor's, of an entry that was looked at."""
    if not isinstance(entry, dict) or not _whole(entry.get("shape")) or not _whole(entry.get("data_offsets"), 2):
        raise InputError(f"{file} is damaged: its header says of {name} {entry!s:.80}, expected dtype, shape and data_offsets.")
    if entry.get("dtype") not in KINDS:
        raise InputError(f"{file}: {name} has the type {entry.get('dtype')!s:.20}. Known: {', '.join(KINDS)}.")
    start, stop = entry["data_offsets"]
    return start, stop


def _whole(value, count: int | None = None) -> bool:
    """Whether `value` is a list of whole numbers from 0, `count` of them."""
    return (isinstance(value, list) and count in (None, len(value))
            and all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in value))
