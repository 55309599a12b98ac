"""PaddleClas's own YAML, 1.x and 2.x, translated to the native form; nothing outside this folder knows those forms."""
from __future__ import annotations

import sys
from collections.abc import Mapping

from .translation import Translation

__all__ = ["Translation", "announce", "is_old", "translate"]

_SECTIONS_1X = ("ARCHITECTURE", "LEARNING_RATE", "OPTIMIZER", "TRAIN", "VALID")


def is_old(data: Mapping) -> bool:
    """Whether the content of a YAML file is in one of PaddleClas's forms."""
    arch = data.get("Arch")
    return _is_1x(data) or isinstance(arch, Mapping) and ("name" in arch or "models" in arch)


def translate(data: Mapping, file: str, processes: int | None = None) -> Translation:
    """The native form of an old file, and what became of its keys. `data` is not modified.

    Args:
        data: content of the file.
        file: its name, for messages.
        processes: how many will train together; 1.x gives the batch of all of them. Default: those of this run.

    Raises:
        InputError: an unknown key, a value of the wrong type, or one that cannot be ignored and has no counterpart here.
    """
    # they import Paddle, which takes a second that native files need not wait
    from . import v1, v2

    if _is_1x(data):
        translation = Translation("1.x", file)
        translation.data = v1.translate(data, translation, processes)
    else:
        translation = Translation("2.x", file)
        translation.data = v2.translate(data, translation)
    return translation


def announce(translation: Translation, show_native: bool = True) -> None:
    """Say on the main process's stderr that a translated file runs, and as what."""
    from ..device import is_main

    if is_main():
        print(translation.notice(show_native), file=sys.stderr, flush=True)


def _is_1x(data: Mapping) -> bool:
    return any(name in data for name in _SECTIONS_1X)
