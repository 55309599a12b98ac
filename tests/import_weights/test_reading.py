from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.import_weights.reading import read_tensors

EXPECTED = {"weight": [[0, 1, 2], [3, 4, 5]], "bias": [0.5, -1.5], "turned": [[0, 3], [1, 4], [2, 5]], "count": 3,
            "brief": [0, 1, 2, 3]}


@pytest.mark.parametrize("name", ["state.pth", "state_old.pth", "state.safetensors"])
def test_files_of_pytorch_and_safetensors_hold_what_was_saved(files, name):
    tensors = read_tensors(files / name)
    assert {name: array.tolist() for name, array in tensors.items()} == EXPECTED
    assert tensors["bias"].dtype == np.float16 and tensors["brief"].dtype == np.float32


def test_the_content_tells_the_format_and_not_the_ending(files, tmp_path):
    shutil.copy(files / "state.safetensors", tmp_path / "weights.bin")
    assert read_tensors(tmp_path / "weights.bin")["count"] == 3


def test_a_part_of_a_training_checkpoint_has_to_be_chosen_when_there_are_several(files):
    with pytest.raises(InputError, match=r"holds several networks: 'model' \(2 tensors\), 'model_ema' \(2 tensors\).*--part"):
        read_tensors(files / "checkpoint.pth")
    model, average = (read_tensors(files / "checkpoint.pth", part) for part in ("model", "model_ema"))
    assert set(model) == {"weight", "bias"}              # without what data-parallel training puts in front
    np.testing.assert_allclose(average["weight"], model["weight"] + 1)
    with pytest.raises(InputError, match="has no network 'modell'. Did you mean 'model'"):
        read_tensors(files / "checkpoint.pth", "modell")


@pytest.mark.parametrize("wrapper", ["", "module."])
def test_of_a_distiller_saved_whole_the_student_is_read(make_safetensors, tmp_path, wrapper):
    """What stands beside it: the teacher, projectors, and a projector whose name holds the word."""
    one = np.ones((2, 3), np.float32)
    names = ["student.backbone.layer1.0.conv1.weight", "student.head.fc.weight", "teacher.backbone.norm.weight",
             "generator.cap3.student.weight", "students.weight"]
    file = make_safetensors(tmp_path / "run.safetensors", {wrapper + name: one * place for place, name in enumerate(names)})
    found = read_tensors(file)
    assert {name: float(value[0, 0]) for name, value in found.items()} == {"backbone.layer1.0.conv1.weight": 0,
                                                                           "head.fc.weight": 1}


def test_a_whole_network_in_place_of_its_tensors_is_refused(files):
    with pytest.raises(InputError, match="it asks for torch.nn.parallel.data_parallel.DataParallel.*save its state dict alone"):
        read_tensors(files / "whole_network.pth")


def test_a_missing_file_and_one_of_paddle_are_refused(tmp_path):
    with pytest.raises(InputError, match="gone.pth does not exist"):
        read_tensors(tmp_path / "gone.pth")
    (tmp_path / "own.pdparams").write_bytes(pickle.dumps({}))
    with pytest.raises(InputError, match="holds weights of Paddle already"):
        read_tensors(tmp_path / "own.pdparams")


@pytest.mark.parametrize("name", ["state.pth", "state_old.pth", "state.safetensors"])
def test_a_file_cut_off_anywhere_is_refused(files, tmp_path, name):
    whole, cut = (files / name).read_bytes(), tmp_path / name
    for length in sorted({0, 1, 7, 8, 9, 40, *range(60, len(whole) - 1, 61), len(whole) - 1}):
        cut.write_bytes(whole[:length])
        with pytest.raises(InputError):
            read_tensors(cut)


@pytest.mark.parametrize("name", ["state.pth", "state_old.pth", "state.safetensors"])
def test_a_file_with_any_byte_changed_is_read_or_refused_and_nothing_else(files, tmp_path, name):
    whole, changed = (files / name).read_bytes(), tmp_path / name
    rng, refused = np.random.default_rng(1), 0
    for at in rng.choice(len(whole), 300, replace=len(whole) < 300):
        changed.write_bytes(whole[:at] + bytes([whole[at] ^ int(rng.integers(1, 256))]) + whole[at + 1:])
        try:
            read_tensors(changed)
        except InputError:
            refused += 1
    assert refused > 30


def safetensors(file, entries, data: bytes = b"\0" * 16, claimed: int | None = None):
    header = entries if isinstance(entries, bytes) else json.dumps(entries).encode()
    file.write_bytes(struct.pack("<Q", len(header) if claimed is None else claimed) + header + data)
    return file


def entry(dtype="F32", shape=(2, 2), offsets=(0, 16)) -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_an_honest_safetensors_file_written_by_hand_is_read(tmp_path):
    """So that the attacks below differ from it in one thing each."""
    made = safetensors(tmp_path / "x", {"__metadata__": {"format": "pt"}, "a": entry()})
    assert read_tensors(made)["a"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("entries, message", [
    ({"a": entry(shape=(2, 3))}, "a has 16 bytes, not those of F32"),
    ({"a": entry(shape=(1 << 62, 1 << 62))}, "a has 16 bytes, not those of"),
    ({"a": entry(shape=(-2, -2))}, "expected dtype, shape and data_offsets"),
    ({"a": entry(shape=(2.0, 2))}, "expected dtype, shape and data_offsets"),
    ({"a": entry(shape=4)}, "expected dtype, shape and data_offsets"),
    ({"a": entry(offsets=(0, 17), dtype="U8", shape=(17,))}, "claims the bytes 0 to 17"),
    ({"a": entry(offsets=(0, 1 << 60))}, "claims the bytes 0 to"),
    ({"a": entry(offsets=(4, 16))}, "claims the bytes 4 to 16, expected from 0"),
    ({"a": entry(), "b": entry()}, "b claims the bytes 0 to 16, expected from 16"),
    ({"a": entry(shape=(2,), offsets=(0, 8))}, "8 bytes behind the last tensor belong to none"),
    ({"a": entry(dtype="F8_E4M3")}, "has the type F8_E4M3. Known: F64"),
    ({"a": entry(dtype=[1])}, "has the type"),
    ({"a": 3}, "expected dtype, shape and data_offsets"),
    (b'{"a": 1, "a": 2}', "a name occurs twice"),
    (b"[" * 100_000, "header is no JSON"),
    (b'["a"]', "header is a list"),
    (b"\xff\xfe{}", "header is no JSON")])
def test_safetensors_files_that_lie_are_refused(tmp_path, entries, message):
    with pytest.raises(InputError, match=message):
        read_tensors(safetensors(tmp_path / "x", entries))


@pytest.mark.parametrize("claimed", [0, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_the_file_is_refused(tmp_path, claimed):
    with pytest.raises(InputError, match="is neither a file of torch.save nor a whole safetensors file"):
        read_tensors(safetensors(tmp_path / "x", {"a": entry()}, claimed=claimed))


def test_files_without_a_network_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_tensors(safetensors(tmp_path / "x", {"a": entry(shape=(4,))}))


# Files of torch.save with other content, made without PyTorch: modules of its names stand in while they are pickled.

class Reference:
    """What pickles as a reference to a storage."""

    def __init__(self, *pid):
        self.pid = pid


class _Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.pid if isinstance(value, Reference) else None


class Call:
    """Pickles as a call of `function` with `arguments`, and `state` for what it makes."""

    def __init__(self, function, *arguments, state=None):
        self.made = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.made


@pytest.fixture
def torch_zip(monkeypatch, tmp_path):
    """Writes content as torch.save would: torch_zip(content, {"0": bytes}); `torch_zip.FloatStorage` and the like are names."""
    for module, names in (("torch", ("FloatStorage", "ComplexFloatStorage")),
                          ("torch._utils", ("_rebuild_tensor_v2", "_rebuild_parameter"))):
        made = types.ModuleType(module)
        for name in names:
            def function(*_):
                raise AssertionError("only its name is wanted")

            function.__module__, function.__name__, function.__qualname__ = module, name, name
            setattr(made, name, function)
        monkeypatch.setitem(sys.modules, module, made)

    def write(content, members=None, compression=zipfile.ZIP_STORED, extra=()):
        buffer = io.BytesIO()
        _Pickler(buffer, 2).dump(content)
        file = tmp_path / "made.pth"
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("archive/data.pkl", buffer.getvalue())
            for key, data in (members or {"0": b"\0" * 16}).items():
                archive.writestr(f"archive/data/{key}", data)
            for name, data in extra:
                archive.writestr(name, data)
        return file

    def tensor(shape=(2, 2), strides=(2, 1), offset=0, count=4, kind="FloatStorage", key="0", **more):
        storage = Reference("storage", getattr(sys.modules["torch"], kind), key, "cpu", count)
        rebuild = sys.modules["torch._utils"]._rebuild_tensor_v2
        return Call(rebuild, storage, offset, shape, strides, False, OrderedDict(), **more)

    write.tensor = tensor
    return write


def test_an_honest_file_made_by_hand_is_read(torch_zip):
    assert read_tensors(torch_zip(OrderedDict(a=torch_zip.tensor())))["a"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("changes", [
    {"shape": (3, 2)}, {"offset": 1}, {"strides": (4, 1)}, {"shape": (1 << 40, 1), "strides": (0, 0)}, {"shape": (-1, 2)},
    {"strides": (-2, 1)}, {"offset": -4}, {"shape": (2.0, 2)}, {"strides": (1,)}, {"count": 1 << 50}, {"count": -1},
    {"count": "4"}, {"shape": (1,) * 40, "strides": (1,) * 40}, {"state": {"shape": (9, 9)}}, {"key": 0}])
def test_tensors_beyond_their_storage_are_refused(torch_zip, changes):
    with pytest.raises(InputError):
        read_tensors(torch_zip({"a": torch_zip.tensor(**changes)}))


def test_a_storage_that_is_not_in_the_file_or_has_another_size_is_refused(torch_zip):
    with pytest.raises(InputError, match="is not a whole file of torch.save"):
        read_tensors(torch_zip({"a": torch_zip.tensor(key="1")}))
    with pytest.raises(InputError, match="a storage has 12 bytes, expected 4 numbers of F32"):
        read_tensors(torch_zip({"a": torch_zip.tensor()}, {"0": b"\0" * 12}))


def test_numbers_of_a_kind_that_weights_do_not_have_are_refused(torch_zip):
    with pytest.raises(InputError, match="it asks for torch.ComplexFloatStorage"):
        read_tensors(torch_zip({"a": torch_zip.tensor(kind="ComplexFloatStorage")}))


@pytest.mark.parametrize("function, arguments", [(os.system, ("touch gone",)), (eval, ("1",)), (getattr, ("a", "b")),
                                                 (__import__, ("os",)), (bytearray, (1 << 40,))])
def test_files_that_ask_for_anything_else_are_refused_and_nothing_is_run(torch_zip, function, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="refused to load it.*was made to run code"):
        read_tensors(torch_zip({"a": torch_zip.tensor(), "b": Call(function, *arguments)}))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("pid", [("module", "os"), ("storage", "FloatStorage", "0", "cpu", 4), (), "storage", 7])
def test_references_to_anything_but_storages_are_refused(torch_zip, pid):
    with pytest.raises(InputError):
        read_tensors(torch_zip({"a": Reference(*pid) if isinstance(pid, tuple) else Reference(pid)}))


def test_compressed_members_are_refused(torch_zip):
    with pytest.raises(InputError, match="data.pkl is compressed"):
        read_tensors(torch_zip({"a": torch_zip.tensor()}, compression=zipfile.ZIP_DEFLATED))


def test_numbers_of_another_byte_order_are_refused(torch_zip):
    with pytest.raises(InputError, match="another byte order"):
        read_tensors(torch_zip({"a": torch_zip.tensor()}, extra=[("archive/byteorder", b"big")]))


def test_containers_that_hold_themselves_or_each_other_many_times_take_no_time(torch_zip):
    nest = {"a": torch_zip.tensor()}
    for _ in range(40):
        nest = {"left": nest, "right": nest}
    assert read_tensors(torch_zip(nest))["a"].shape == (2, 2)
    endless: dict = {"a": torch_zip.tensor()}
    endless["self"] = endless
    with pytest.raises(InputError):
        read_tensors(torch_zip(endless))


def test_one_tensor_in_many_places_takes_no_memory(torch_zip):
    shared = {f"layer{i}.weight": torch_zip.tensor() for i in range(500)}
    tensors = read_tensors(torch_zip(shared))
    assert len({array.__array_interface__["data"][0] for array in tensors.values()}) == 1
