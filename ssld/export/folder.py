"""Filling a folder with files that belong together: all of them appear, or none."""
from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dedup.files import sync_folder

from ..errors import InputError
from .card import CARD


@contextlib.contextmanager
def filled(folder: str | Path) -> Iterator[Path]:
    """Gives a temporary folder; when the block ends without an error, its files move to `folder`, the card last.

    They take the place of what an earlier card there names: files that only it names are removed.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    existed = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
            yield Path(temporary)
            _move_up(Path(temporary), folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}. Choose another folder.") from error
    finally:
        if not existed:
            with contextlib.suppress(OSError):
                folder.rmdir()                  # only if nothing is in it


def _move_up(temporary: Path, folder: Path) -> None:
    new = sorted((file.name for file in temporary.iterdir()), key=lambda name: name == CARD)
    outdated = _named_before(folder) - set(new) if CARD in new else set()
    for name in new:
        os.replace(temporary / name, folder / name)
    for name in sorted(outdated):
        (folder / name).unlink(missing_ok=True)
        print(f"removed {folder / name}, which an earlier export left", flush=True)
    sync_folder(folder)


def _named_before(folder: Path) -> set[str]:
    """The files that the folder's card names; none where there is no card that can be read."""
    try:
        names = set(json.loads((folder / CARD).read_text(encoding="utf-8"))["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {name for name in names if name == Path(name).name}
