from __future__ import annotations

import os
import pickle
import pickletools
import struct
import tracemalloc
from collections import OrderedDict

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.restricted_pickle import Stand, unpickle

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n"
NDARRAY, DTYPE, ENCODE = b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n"


def text(value: str) -> bytes:
    coded = value.encode()
    return b"X" + struct.pack("<i", len(coded)) + coded


def call(name: bytes, *arguments: bytes) -> bytes:
    return name + b"(" + b"".join(arguments) + b"tR"


def whole(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


BYTE_B = call(ENCODE, text("b"), text("latin1"))
EMPTY = call(RECONSTRUCT, NDARRAY, b"K\x00\x85", BYTE_B)


def built(dtype: bytes, content: bytes, shape: bytes = b"K\x02\x85") -> bytes:
    return whole(EMPTY + b"(K\x01" + shape + dtype + b"\x89" + content + b"tb")


def float32(order: str = "<") -> bytes:
    return call(DTYPE, text("f4"), b"\x89", b"\x88") + b"(K\x03" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


ZEROS = call(ENCODE, text("\0" * 8), text("latin1"))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_arrays_numbers_and_containers_come_back(protocol):
    rng = np.random.default_rng(0)
    for value in (np.float32(0.5), np.arange(6).reshape(2, 3), np.asfortranarray(rng.normal(size=(50, 40))), np.array(True),
                  np.array(["ab", "c"]), np.arange(3, dtype=np.float16), rng.normal(size=3) + 1j):
        found = unpickle(pickle.dumps([value, {"a": (1, "ü", None)}], protocol))
        assert np.array_equal(found[0], value) and np.asarray(found[0]).dtype == value.dtype
        assert found[1] == {"a": (1, "ü", None)}


def test_what_lies_outside_has_the_meaning_that_is_given_and_no_other():
    data = b"\x80\x02" + text("storage 3") + b"Q."
    assert unpickle(data, outside=lambda reference: [reference]) == ["storage 3"]
    with pytest.raises(InputError, match="it refers to objects outside the file"):
        unpickle(data)


def test_an_array_written_by_hand_comes_back():
    """So that the attacks below differ from an honest file in one thing each."""
    assert unpickle(built(float32(), ZEROS)).tolist() == [0, 0]


@pytest.mark.parametrize("name", ["os system", "builtins eval", "builtins getattr", "numpy fromfile", "numpy core.multiarray",
                                  "numpy.core.multiarray fromfile", "numpy.core.numeric _frombuffer", "_codecs lookup",
                                  "functools partial", "numpy.f2py exec", "collections OrderedDict"])
def test_any_other_name_is_refused(name):
    module, attribute = name.split()
    with pytest.raises(InputError, match=f"asks for {module}.{attribute}"):
        unpickle(whole(f"c{module}\n{attribute}\n".encode()))


def test_a_name_can_be_allowed():
    assert unpickle(pickle.dumps(OrderedDict(a=1), 2), {("collections", "OrderedDict"): OrderedDict}) == {"a": 1}


@pytest.mark.parametrize("attack, said", [
    (call(RECONSTRUCT, NDARRAY, b"J\xff\xff\xff\x7f\x85", BYTE_B), "an array of shape .2147483647"),
    (call(RECONSTRUCT, DTYPE, b"K\x00\x85", BYTE_B), "an array of shape"),
    (call(RECONSTRUCT, NDARRAY, b"K\x00\x85", text("O")), "an array of shape"),
    (call(NDARRAY, b"J\xff\xff\xff\x7f\x85"), "an array without content"),
    (call(DTYPE, text("O8")), "arrays of type 'O8'"), (call(DTYPE, text("V8")), "arrays of type"),
    (call(DTYPE, text("f4,O")), "arrays of type"), (call(DTYPE, b"]"), "arrays of type"),
    (call(DTYPE, text("datetime64[s]")), "arrays of type"),
    (call(ENCODE, text("abc"), text("rot13")), "bytes that are not in it"),
    (call(ENCODE, text("x" * 30), text("zlib")), "bytes that are not in it"),
    (call(b"cnumpy.core.multiarray\nscalar\n", call(DTYPE, text("f8")), BYTE_B), "a number of another type"),
    (call(b"cnumpy.core.multiarray\nscalar\n", text("O"), BYTE_B), "a number of another type"),
    (NDARRAY + b"}b", "a change of what a name means"),
    (RECONSTRUCT + b"N}" + text("__defaults__") + b"K\x01s\x86b", "a change of what a name means")])
def test_allowed_names_with_other_arguments_are_refused(attack, said):
    with pytest.raises(InputError, match=f"asks for {said}"):
        unpickle(whole(attack))


def records() -> bytes:
    return call(DTYPE, text("f4")) + b"(K\x03" + text("|") + b"N" + text("a") + b"\x85}J\xff\xff\xff\xffK\x01K\x10tb"


@pytest.mark.parametrize("dtype, content, shape, said", [
    (float32(), ZEROS, b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", "shape .2147483647, 2147483647. .*brings 8 bytes"),
    (float32(), ZEROS, b"K\x03\x85", "brings 8 bytes"), (float32(), ZEROS, b"J\xfe\xff\xff\xff\x85", "shape .-2"),
    (float32(), b"](K\x01K\x02e", b"K\x02\x85", "Python objects"), (float32(), text("ab"), b"K\x02\x85", "Python objects"),
    (text("f4"), ZEROS, b"K\x02\x85", "Python objects"), (float32(">"), ZEROS, b"K\x02\x85", "another byte order"),
    (records(), ZEROS, b"K\x02\x85", "records")])
def test_a_state_that_numpy_would_trust_is_refused(dtype, content, shape, said):
    with pytest.raises(InputError, match=said):
        unpickle(built(dtype, content, shape))


def test_arrays_of_objects_are_refused_and_nothing_in_them_runs(tmp_path):
    class Attack:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    for inside in (Attack(), None):
        array = np.empty(1, object)
        array[0] = inside
        with pytest.raises(InputError, match="refused to load it"):
            unpickle(pickle.dumps(array, 2))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("attack", [
    b"N" + b"r" + struct.pack("<I", 2 ** 32 - 1), b"N" + b"p4294967295\n", b"N" + b"r" + struct.pack("<I", 10 ** 7)])
def test_a_memo_with_room_for_billions_is_refused_before_it_takes_memory(attack):
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="a memo of .* entries"):
            unpickle(whole(attack))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_text_that_is_encoded_again_and_again_is_refused_before_it_takes_memory():
    size = 100_000
    again = b"h\x00h\x01\x86R"
    noted = ENCODE + b"q\x02" + text("a" * size) + b"q\x00" + text("latin1") + b"q\x01"
    attack = noted + b"](" + 5000 * (b"h\x02" + again) + b"e"
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="bytes that are not in it"):
            unpickle(whole(attack))
        assert tracemalloc.get_traced_memory()[1] < 20 * size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("opcode, width", [(b"\x8e", "<Q"), (b"\x8d", "<Q"), (b"\x96", "<Q"), (b"B", "<I"), (b"\x95", "<Q")])
def test_sizes_beyond_the_end_of_the_file_take_no_memory(opcode, width):
    tracemalloc.start()
    try:
        with pytest.raises((ValueError, EOFError, pickle.UnpicklingError)):
            unpickle(whole(opcode + struct.pack(width, 2 ** 31 - 1)))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_every_honest_memo_is_let_through():
    value = [[str(i), (i, [i])] for i in range(2000)]
    for protocol in range(5):
        data = pickle.dumps(value, protocol)
        assert any("PUT" in op.name or op.name == "MEMOIZE" for op, _, _ in pickletools.genops(data))
        assert unpickle(data) == value


def test_a_stand_in_is_called_with_what_the_file_gives():
    assert unpickle(whole(call(b"ca\nb\n", b"K\x07")), {("a", "b"): Stand(lambda n: n + 1)}) == 8
