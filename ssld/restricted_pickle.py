"""Pickles of arrays and plain containers, read without running anything that the file asks for.

An ordinary unpickler calls whatever a stranger put inside. Here numpy's names lead to stand-ins of this module, which
build an array from bytes, sizes and a plain type, and check them first: numpy's own functions trust what they are given.
"""
from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable, Mapping

import numpy as np

from .errors import InputError

_PLAIN_TYPE = re.compile(r"[biufcSU]\d{1,9}")           # of numbers and strings, not of Python objects or records
_MEMOS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})


def unpickle(data: bytes, names: Mapping[tuple[str, str], Callable] | None = None,
             outside: Callable[[object], object] | None = None) -> object:
    """What a pickle holds: arrays, numbers, strings, bytes, lists, tuples, dicts.

    What it takes is at most a few times the size of `data`, whatever sizes the file claims.

    Args:
        data: the bytes of the pickle.
        names: (module, name) -> what it means, for names beyond those of numpy.
        outside: what a reference to something outside the pickle means; without it there may be none.

    Raises:
        InputError: it asks for anything else; says for what.
        Exception: of nearly any class, where it is no pickle or not a whole one.
    """
    _check_memos(data)
    return _Unpickler(data, names or {}, outside).load()


class PickledArray(np.ndarray):
    """An array that fills itself from the state in a pickle, if that state is one of plain numbers or strings."""

    def __setstate__(self, state):
        _, shape, dtype, by_columns, content = state
        if not isinstance(dtype, _Type) or not isinstance(content, bytes):
            raise refused("an array of Python objects")
        if not all(isinstance(side, int) and side >= 0 for side in shape):
            raise refused(f"an array of shape {shape!s:.60}")
        if math.prod(shape) * dtype.plain.itemsize != len(content):
            raise refused(f"an array of shape {shape!s:.60} and type {dtype.plain}, but brings {len(content):,} bytes")
        super().__setstate__((1, shape, dtype.plain, bool(by_columns), content))


class Stand:
    """What a name in a pickle means: a function of our own, which the file can call and do nothing else to."""

    __slots__ = ("call",)

    def __init__(self, call: Callable):
        self.call = call

    def __call__(self, *arguments):
        return self.call(*arguments)

    def __setstate__(self, state):
        raise refused("a change of what a name means")


def refused(what: str) -> InputError:
    """The error for what no harmless file asks for."""
    return InputError(f"refused to load it: it asks for {what}.")


class _Type:
    """A type of numbers or strings, as numpy pickles it: a short name, then its byte order."""

    __slots__ = ("plain",)

    def __init__(self, name, *_):
        if not isinstance(name, str) or not _PLAIN_TYPE.fullmatch(name):
            raise refused(f"arrays of type {name!r:.40}")
        self.plain = np.dtype(name)

    def __setstate__(self, state):
        _, order, *parts = state
        if order not in ("<", "|", "=") or any(part is not None for part in parts[:3]):
            raise refused("arrays of records, or of another byte order")


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, names: Mapping[tuple[str, str], Callable], outside: Callable[[object], object] | None):
        super().__init__(io.BytesIO(data))
        self.outside = outside
        self.names = {**_NAMES, ("_codecs", "encode"): Stand(_Encoder(len(data))), **names}

    def find_class(self, module: str, name: str):
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")     # newer, older names
        known = self.names.get((module, name))
        if known is None:
            raise refused(f"{module}.{name}")
        return known

    def persistent_load(self, pid):
        if self.outside is None:
            raise InputError("refused to load it: it refers to objects outside the file.")
        return self.outside(pid)


class _Encoder:
    """Bytes from the text that protocol 2 writes them as; in all no more than the file is long."""

    __slots__ = ("left",)

    def __init__(self, left: int):
        self.left = left

    def __call__(self, text: str, encoding: str) -> bytes:
        self.left -= len(text)
        if encoding != "latin1" or self.left < 0:
            raise refused("bytes that are not in it")
        return text.encode("latin-1")


def _check_memos(data: bytes) -> None:
    """Refuse a place in the memo that is not the next one: room for all before it would be taken."""
    for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        if opcode.name in _MEMOS and argument > count:
            raise refused(f"a memo of {argument:,} entries")


def _array(kind, shape, code) -> PickledArray:
    """What numpy's _reconstruct makes: an empty array, filled by its state afterwards."""
    if kind is not _NAMES["numpy", "ndarray"] or shape != (0,) or code != b"b":
        raise refused(f"an array of shape {shape!r:.40} without content")
    return PickledArray((0,), np.int8)


def _scalar(dtype, content):
    if not isinstance(dtype, _Type) or not isinstance(content, bytes) or len(content) != dtype.plain.itemsize:
        raise refused("a number of another type than its bytes")
    return np.frombuffer(content, dtype.plain)[0]


def _bare_array(*_):
    raise refused("an array without content")


_NAMES = {("numpy", "ndarray"): Stand(_bare_array), ("numpy", "dtype"): Stand(_Type),
          ("numpy.core.multiarray", "_reconstruct"): Stand(_array), ("numpy.core.multiarray", "scalar"): Stand(_scalar)}
