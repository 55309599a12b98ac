"""Checks of single values where they enter, with errors that say what was expected."""
from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from .errors import InputError
from .registry import nearest


def positive(name: str, value):
    """`value` if it is a finite number above 0."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise InputError(f"{name} must be a number above 0, not {value!r}.")
    return value


def not_negative(name: str, value):
    """`value` if it is a finite number of at least 0."""
    if not _is_number(value) or not 0 <= value < math.inf:
        raise InputError(f"{name} must be a number of at least 0, not {value!r}.")
    return value


def below_one(name: str, value):
    """`value` if it lies in [0, 1), as the share that an average keeps does."""
    if not _is_number(value) or not 0 <= value < 1:
        raise InputError(f"{name} must lie in [0, 1), not {value!r}.")
    return value


def positive_int(name: str, value) -> int:
    """`value` if it is a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}.")
    return value


def fraction(name: str, value):
    """`value` if it lies in [0, 1]."""
    if not _is_number(value) or not 0 <= value <= 1:
        raise InputError(f"{name} must lie between 0 and 1, not {value!r}.")
    return value


def numbers(name: str, value, count: int | None = None) -> list:
    """`value` as a list if it is one of numbers, `count` of them."""
    whole = isinstance(value, (list, tuple)) and count in (None, len(value))
    if not whole or not all(map(_is_number, value)):
        raise InputError(f"{name} must be a list of {'' if count is None else f'{count} '}numbers, not {value!r}.")
    return list(value)


def one_of(name: str, value, choices: Mapping | Iterable):
    """`value` if it is among `choices`; of a mapping, what stands behind it."""
    if value not in choices:
        raise InputError(f"{name} cannot be {value!r}. {nearest(str(value), map(str, choices))}")
    return choices[value] if isinstance(choices, Mapping) else value


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
