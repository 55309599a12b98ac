"""The numbers that weight files keep, from their bytes."""
from __future__ import annotations

import numpy as np

BFLOAT16 = "BF16"
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", BFLOAT16: "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
          "U8": "u1", "BOOL": "?"}
KINDS = tuple(_TYPES)


def item_size(kind: str) -> int:
    """Bytes of one number."""
    return np.dtype(_TYPES[kind]).itemsize


def decode(data, kind: str) -> np.ndarray:
    """The numbers in `data`, bytes or uint8 [n]: a view of it, but bfloat16 as float32."""
    numbers = np.frombuffer(data, _TYPES[kind])
    if kind == BFLOAT16:                # the upper half of a float32
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers
