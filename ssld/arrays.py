"""Files of named numpy arrays (.npz): written whole or not at all, read without unpickling."""
from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dedup.files import atomic_write

from .errors import InputError


def write_arrays(file: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write name -> array, atomically.

    Raises:
        ValueError: an array of Python objects, which only a pickle could hold.
    """
    objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
    if objects:
        raise ValueError(f"{file}: {', '.join(objects)} hold Python objects; only plain arrays are written")
    with atomic_write(file, "wb") as out:
        np.savez(out, **arrays)


def read_arrays(file: str | Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote.

    Raises:
        InputError: missing, truncated or altered, or holding anything but plain arrays.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{file} cannot be read: {error}.") from error
