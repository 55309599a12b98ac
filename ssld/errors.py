"""The exception for faults that the user can mend; the same class in both packages."""
from __future__ import annotations

import contextlib

from dedup.errors import InputError

__all__ = ["InputError", "located"]


@contextlib.contextmanager
def located(where: str):
    """Put the place, such as "run.yaml: Loss.Train[0]", in front of the InputErrors of a block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
