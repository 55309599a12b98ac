"""The types that a signature promises, held against values from a YAML file."""
from __future__ import annotations

import inspect
from collections.abc import Mapping

from .errors import InputError

_TYPES = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,), "None": (type(None),)}
_WORDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text", "None": "null"}


def check_types(parameters: Mapping[str, inspect.Parameter], given: Mapping, where: str) -> None:
    """Refuse values whose type is not the annotated one; only bool, int, float, str and None are looked at.

    Args:
        parameters: of the signature.
        given: name -> value, from the user.
        where: file and section, to open the error with.

    Raises:
        InputError: names the option, what was expected and what came.
    """
    for name, value in given.items():
        parts = str(getattr(parameters.get(name), "annotation", "")).split(" | ")       # text: annotations are postponed
        if not set(parts) <= _TYPES.keys():
            continue
        allowed = tuple(each for part in parts for each in _TYPES[part])
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            expected = " or ".join(_WORDS[part] for part in parts)
            number = "str" in parts and isinstance(value, (int, float))
            hint = " Put it in quotes if it looks like a number." if number else ""
            raise InputError(f"{where}: {name} must be {expected}, not {value!r}.{hint}")
