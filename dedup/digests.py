"""SHA-256 of files: which have the same bytes, without holding their digests as Python objects."""
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from .files import atomic_write

BYTES = 32
UNREADABLE = bytes(BYTES)       # stands for a file that cannot be read


def sha256_of(data: bytes) -> bytes:
    """SHA-256 of the bytes of a file."""
    return hashlib.sha256(data).digest()


def write_digests(file: Path, digests: Iterable[bytes]) -> None:
    """Write digests one after the other, atomically."""
    with atomic_write(file, "wb") as out:
        out.write(b"".join(digests))


def read_digests(file: Path) -> np.ndarray:
    """The digests in a file, "S32" [n]; those of unreadable files are empty."""
    return np.fromfile(file, f"S{BYTES}")
