"""Reader of the files that `torch.save` writes, without PyTorch and without running what they ask for.

Since PyTorch 1.6 such a file is a zip: a pickle, `data.pkl`, in which tensors refer to storages by number, and one member
for each storage. Before, it was five pickles behind each other (a magic number, a version, sizes of C types, the content,
the storages' keys) and then the storages.
"""
from __future__ import annotations

import math
import pickletools
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..restricted_pickle import Stand, refused, unpickle
from .elements import decode, item_size

ZIP = b"PK\x03\x04"
OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."         # the magic number, pickled
_STORAGES = {"Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32", "Short": "I16",
             "Char": "I8", "Byte": "U8", "Bool": "BOOL"}
_COUNT = struct.Struct("<q")
_MOST_AXES = 8


def read_torch(file: Path) -> object:
    """What a file holds: tensors as arrays, bfloat16 as float32, in the containers that they were saved in.

    Args:
        file: begins with ZIP or OLD.

    Raises:
        InputError: damaged, or asking for more than tensors, numbers, strings and containers.
    """
    try:
        with open(file, "rb") as stream:
            is_zip = stream.read(len(ZIP)) == ZIP
            stream.seek(0)
            storages = _Storages(file.stat().st_size)
            return _resolved(_read_zip(stream, storages) if is_zip else _read_old(stream, storages), {})
    except InputError as error:
        raise InputError(f"{file}: {error} Weights need only tensors, numbers, text and containers of these; this file holds "
                         "something else or was made to run code. If you trust it, load it with PyTorch and save its "
                         "state dict alone.") from error
    except Exception as error:          # a broken pickle raises nearly anything
        raise InputError(f"{file} is not a whole file of torch.save ({type(error).__name__}: {error}). Was it cut off while it "
                         "was copied?") from error


class _Refused:
    """Something in a pickle that may only be passed on."""

    def __setstate__(self, state):
        raise refused("a change of what it has made")


class _Kind(_Refused):
    """The type of a storage's numbers."""

    def __init__(self, kind: str):
        self.kind = kind


class _Storage(_Refused):
    """Numbers in a row, which tensors are views of; they come after the pickle that names them."""

    def __init__(self, kind: str, count: int):
        self.kind, self.count = kind, count
        self.numbers: np.ndarray | None = None

    def fill(self, data: bytes) -> None:
        if len(data) != self.count * item_size(self.kind):
            raise ValueError(f"a storage has {len(data):,} bytes, expected {self.count:,} numbers of {self.kind}")
        self.numbers = decode(data, self.kind)


class _Tensor(_Refused):
    """A view of a storage."""

    def __init__(self, storage, offset, shape, strides, *_):
        whole = all(isinstance(value, int) and value >= 0 for value in (offset, *shape, *strides))
        if not isinstance(storage, _Storage) or not whole or len(shape) != len(strides) or len(shape) > _MOST_AXES:
            raise refused(f"a tensor of shape {shape!s:.60} without a storage")
        last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides))
        if math.prod(shape) > storage.count or (math.prod(shape) and last >= storage.count):
            raise refused(f"a tensor of shape {shape!s:.60}, beyond its storage of {storage.count:,} numbers")
        self.storage, self.offset, self.shape, self.strides = storage, offset, shape, strides

    def array(self) -> np.ndarray:
        numbers = self.storage.numbers
        if not math.prod(self.shape):
            return np.empty(self.shape, numbers.dtype)
        strides = [stride * numbers.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(numbers[self.offset:], self.shape, strides, writeable=False)


class _Ignored:
    """A record of settings that was saved beside the weights; nothing of it is kept."""

    def __setstate__(self, state):
        """Keep nothing."""


def _parameter(tensor, *_):
    """What torch.nn.Parameter adds to a tensor does not matter here."""
    return tensor


_NAMES = {("torch._utils", "_rebuild_tensor_v2"): Stand(_Tensor), ("torch._utils", "_rebuild_parameter"): Stand(_parameter),
          ("torch", "Size"): Stand(tuple), ("torch", "device"): Stand(lambda *_: None),
          ("collections", "OrderedDict"): OrderedDict, ("collections", "defaultdict"): Stand(lambda *_: {}),
          ("builtins", "dict"): Stand(lambda *_: {}), ("builtins", "set"): set, ("argparse", "Namespace"): _Ignored,
          **{("torch", f"{name}Storage"): _Kind(kind) for name, kind in _STORAGES.items()}}


class _Storages(dict):
    """key -> storage, of all that a pickle refers to; `limit` is the size of the file, bytes."""

    def __init__(self, limit: int):
        super().__init__()
        self.limit = limit

    def of(self, reference) -> _Storage:
        """What the reference ("storage", type, key, device, count) of a pickle means."""
        sort, kind, key, _, count, *view = reference
        whole = isinstance(key, str) and isinstance(count, int) and count >= 0
        if sort != "storage" or not isinstance(kind, _Kind) or not whole or any(view):
            raise refused(f"the object {reference!s:.60}")
        storage = self.setdefault(key, _Storage(kind.kind, count))
        if (storage.kind, storage.count) != (kind.kind, count):
            raise refused(f"two meanings of the storage {key:.20}")
        if sum(storage.count * item_size(storage.kind) for storage in self.values()) > self.limit:
            raise refused("more numbers than it has bytes")
        return storage


def _read_zip(stream, storages: _Storages) -> object:
    with zipfile.ZipFile(stream) as archive:
        members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in members if name.rsplit("/", 1)[-1] == "data.pkl"]
        if len(pickles) != 1:
            raise ValueError("expected one member data.pkl, as torch.save writes it")
        folder = pickles[0][:-len("data.pkl")]

        def read(name: str) -> bytes:
            # stored as it is, so that reading cannot make much of little
            if members[name].compress_type != zipfile.ZIP_STORED or members[name].flag_bits & 1:
                raise ValueError(f"{name} is compressed")
            return archive.read(members[name])

        if f"{folder}byteorder" in members and read(f"{folder}byteorder") != b"little":
            raise ValueError("its numbers have another byte order")
        content = unpickle(read(pickles[0]), _NAMES, storages.of)
        for key, storage in storages.items():
            storage.fill(read(f"{folder}data/{key}"))
    return content


def _read_old(stream, storages: _Storages) -> object:
    for _ in range(3):                      # magic number, version, sizes of C types
        _next_pickle(stream)
    content = unpickle(_next_pickle(stream), _NAMES, storages.of)
    for key in _keys(unpickle(_next_pickle(stream)), storages):
        storage = storages[key]
        count, = _COUNT.unpack(stream.read(_COUNT.size))
        if count != storage.count:
            raise ValueError(f"a storage of {count:,} numbers, expected {storage.count:,}")
        storage.fill(stream.read(count * item_size(storage.kind)))
    return content


def _keys(listed, storages: _Storages) -> Iterable[str]:
    if not isinstance(listed, list) or sorted(listed) != sorted(storages):
        raise ValueError("its list of storages is not that of its tensors")
    return listed


def _next_pickle(stream) -> bytes:
    """The bytes of the pickle that begins here; the stream is then behind it."""
    start = stream.tell()
    for _ in pickletools.genops(stream):
        pass
    end = stream.tell()
    stream.seek(start)
    return stream.read(end - start)


def _resolved(value, known: dict) -> object:
    """The same containers with arrays in place of tensors; what cannot hold weights is left out."""
    if isinstance(value, _Tensor):
        return value.array()
    if isinstance(value, dict):
        if id(value) not in known:          # a dict may occur in many places
            known[id(value)] = {name: _resolved(entry, known) for name, entry in dict.items(value) if isinstance(name, str)}
        return known[id(value)]
    return value if isinstance(value, np.ndarray) else None
