"""A folder's copy on a local disk, made once per machine however many processes ask for it."""
from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

from ..errors import InputError
from ..files import sync_folder


def local_copy(folder, cache, name: str) -> Path:
    """The copy of `folder` at `cache`/`name`, made if it is not there.

    The first process copies, others wait for it; a copy that was interrupted is never seen and is made again.

    Args:
        folder: what is copied; its content never changes under the same `name`.
        cache: a folder of the local disk.
        name: such as a fingerprint of the content.

    Raises:
        InputError: it cannot be copied, for example because the disk is full.
    """
    copy, half = Path(cache) / name, Path(cache) / f"{name}.tmp"
    try:
        Path(cache).mkdir(parents=True, exist_ok=True)
        with open(Path(cache) / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)        # the system gives it back when a process is killed
            if not copy.exists():
                shutil.rmtree(half, ignore_errors=True)
                shutil.copytree(folder, half, copy_function=_copy_file, ignore=shutil.ignore_patterns(".*"))
                sync_folder(half)
                os.replace(half, copy)
                sync_folder(cache)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(half, ignore_errors=True)
        raise InputError(f"{folder} cannot be copied to {copy}: {error}. Free some space there, choose another cache "
                         "folder, or none to read the original.") from error
    return copy


def _copy_file(source: str, target: str) -> None:
    shutil.copyfile(source, target)
    with open(target, "rb") as file:
        os.fsync(file.fileno())
