from __future__ import annotations

import inspect

import pytest

from ssld.annotations import check_types
from ssld.errors import InputError


def target(flag: bool, count: int, rate: float, name: str, limit: float | None = None, ops: list | None = None, free=None):
    """Has every kind of annotation."""


PARAMETERS = inspect.signature(target).parameters


@pytest.mark.parametrize("given", [{"flag": True}, {"count": 3}, {"rate": 3}, {"rate": 0.5}, {"name": "x"}, {"limit": None},
                                   {"limit": 1}, {"ops": "anything"}, {"free": object}, {"unknown": 1}, {}])
def test_what_fits_the_annotation_or_has_none_passes(given):
    check_types(PARAMETERS, given, "here")


@pytest.mark.parametrize("given, message", [
    ({"flag": "yes"}, "flag must be true or false, not 'yes'"), ({"flag": 1}, "flag must be true or false, not 1"),
    ({"count": "3"}, "count must be a whole number, not '3'"), ({"count": 3.0}, "count must be a whole number, not 3.0"),
    ({"count": True}, "count must be a whole number, not True"), ({"rate": "0.1"}, "rate must be a number, not '0.1'"),
    ({"rate": None}, "rate must be a number, not None"), ({"name": 3}, "name must be a text, not 3"),
    ({"limit": "x"}, "limit must be a number or null, not 'x'"), ({"rate": [1]}, r"rate must be a number, not \[1\]")])
def test_another_type_is_refused_with_place_and_name(given, message):
    with pytest.raises(InputError, match=f"^run.yaml: Global: {message}"):
        check_types(PARAMETERS, given, "run.yaml: Global")
