"""Writing files that are either whole or absent, and the checksums that tell."""
from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from pathlib import Path

from .errors import InputError


@contextlib.contextmanager
def atomic_write(path, mode: str = "w"):
    """Open a temporary neighbour of `path`, and rename it to `path` once everything is on disk.

    A reader of `path` therefore sees the old content or the new one, never a part, even after kill -9 or a full
    disk. Parent folders are made.

    Args:
        path: the final file name.
        mode: "w" (UTF-8 text, "\\n" line ends) or "wb".

    Raises:
        InputError: the file cannot be written (full disk, no permission); `path` keeps its old content.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")      # no other thread or machine has it
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} could not be written: {error.strerror or error}. Free some space or choose another "
                         "output folder; what the file held before is unchanged.") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def sync_folder(folder) -> None:
    """Make renames inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path, value) -> None:
    """Write `value` as indented JSON, atomically."""
    with atomic_write(path) as file:
        json.dump(value, file, indent=1)
        file.write("\n")


def sha256_file(path) -> str:
    """SHA-256 of the bytes of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
