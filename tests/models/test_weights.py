from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import paddle
import pytest

from dedup.files import sha256_file
from ssld.errors import InputError
from ssld.models.small_resnet import SmallResNet
from ssld.models.weights import CARD, find_weights, load_weights, read_state, save_weights


@pytest.fixture
def network():
    paddle.seed(1)
    return SmallResNet(4, width=4)


def arrays(network) -> dict:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def equal(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def save_raw(value, file) -> None:
    with open(file, "wb") as out:
        pickle.dump(value, out, protocol=2)


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def test_what_save_weights_writes_comes_back_to_the_bit(network, tmp_path):
    save_weights(network, tmp_path / "w.pdparams")
    other = SmallResNet(4, width=4)
    assert load_weights(other, tmp_path / "w") == tmp_path / "w.pdparams"
    assert equal(arrays(other), arrays(network))


def test_files_of_paddle_save_are_read_and_ours_are_read_by_paddle(network, tmp_path):
    paddle.save(network.state_dict(), str(tmp_path / "paddle.pdparams"))
    assert equal(read_state(tmp_path / "paddle.pdparams"), arrays(network))
    save_weights(network, tmp_path / "ours.pdparams")
    assert equal({k: np.asarray(v) for k, v in paddle.load(str(tmp_path / "ours.pdparams")).items()}, arrays(network))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "bool", "uint8"])
def test_every_kind_of_tensor_is_read(tmp_path, dtype):
    value = paddle.to_tensor(np.array([[0, 1], [1, 0]])).astype(dtype)
    paddle.save({"a": value, "scalar": paddle.to_tensor(3.0)}, str(tmp_path / "w.pdparams"))
    np.testing.assert_array_equal(read_state(tmp_path / "w.pdparams")["a"], value.numpy())


def test_a_path_means_a_file_a_file_without_its_ending_or_a_checkpoint_folder(network, tmp_path, monkeypatch):
    for name in ("run/best/student.pdparams", "plain.pdparams"):
        save_weights(network, tmp_path / name)
    assert find_weights(tmp_path / "plain") == find_weights(tmp_path / "plain.pdparams")
    assert find_weights(tmp_path / "run" / "best") == find_weights(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run" / "best")
    assert find_weights(".").name == "student.pdparams"
    with pytest.raises(InputError, match=r"there are no weights at '.*nowhere'. Looked for: .*nowhere, .*nowhere\.pdparams"):
        find_weights(tmp_path / "nowhere")


def both(student, teacher) -> dict:
    return {**{f"Student.{k}": v for k, v in student.items()}, **{f"Teacher.{k}": v for k, v in teacher.items()}}


def test_a_checkpoint_of_a_whole_distillation_run_is_understood(network, tmp_path):
    wide = SmallResNet(4, width=8)
    paddle.save(both(network.state_dict(), wide.state_dict()), str(tmp_path / "run.pdparams"))
    for source in (network, wide):
        target = SmallResNet(4, width=4 if source is network else 8)
        load_weights(target, tmp_path / "run.pdparams")
        assert equal(arrays(target), arrays(source))


@pytest.mark.parametrize("part", ["student", "teacher"])
def test_a_part_that_fits_wholly_wins_over_one_that_was_meant_but_does_not_fit(network, tmp_path, part):
    wide = SmallResNet(4, width=8)
    paddle.save(both(network.state_dict(), wide.state_dict()), str(tmp_path / "run.pdparams"))
    target = SmallResNet(4, width=4)
    load_weights(target, tmp_path / "run.pdparams", part)
    assert equal(arrays(target), arrays(network))


def test_two_parts_that_fit_are_ambiguous_until_one_is_named(network, tmp_path):
    teacher = SmallResNet(4, width=4)
    paddle.save(both(network.state_dict(), teacher.state_dict()), str(tmp_path / "run.pdparams"))
    target = SmallResNet(4, width=4)
    with pytest.raises(InputError, match=r"several networks that fit: Student\., Teacher\. Say which"):
        load_weights(target, tmp_path / "run.pdparams")
    load_weights(target, tmp_path / "run.pdparams", "teacher")
    assert equal(arrays(target), arrays(teacher))
    load_weights(target, tmp_path / "run.pdparams", "student")
    assert equal(arrays(target), arrays(network))


def test_weights_that_do_not_fit_list_counts_and_at_most_five_examples_of_each_kind(network, tmp_path):
    save_weights(network, tmp_path / "w.pdparams")
    deeper = SmallResNet(7, depth=14, width=4)
    before = arrays(deeper)
    with pytest.raises(InputError) as error:
        load_weights(deeper, tmp_path / "w.pdparams")
    message = str(error.value)
    total, missing = len(deeper.state_dict()), len(deeper.state_dict()) - len(network.state_dict())
    assert f"w.pdparams does not fit SmallResNet: {len(network.state_dict()) - 2} of {total} tensors match" in message
    assert f"only in the network ({missing}): stage1.1.conv1.0.weight" in message and f"... {missing - 5} more" in message
    assert "other shapes (2): fc.weight is (16, 4) in the file, (16, 7) in the network" in message
    assert equal(arrays(deeper), before)                # nothing was loaded by halves


def test_tensors_left_over_are_an_error_too(network, tmp_path):
    paddle.save({**network.state_dict(), "extra": paddle.zeros([1])}, str(tmp_path / "w.pdparams"))
    with pytest.raises(InputError, match=r"only in the file \(1\): extra"):
        load_weights(network, tmp_path / "w.pdparams")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused_by_name(network, tmp_path, share):
    save_weights(network, tmp_path / "w.pdparams")
    whole = (tmp_path / "w.pdparams").read_bytes()
    (tmp_path / "w.pdparams").write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(InputError, match="w.pdparams is not a whole weight file"):
        read_state(tmp_path / "w.pdparams")


@pytest.mark.parametrize("content", [b"hello", b"\x80\x02K\x03.", b"<html>not found</html>"])
def test_a_file_that_is_no_weight_file_is_refused_by_name(tmp_path, content):
    (tmp_path / "w.pdparams").write_bytes(content)
    with pytest.raises(InputError, match="w.pdparams"):
        read_state(tmp_path / "w.pdparams")


def attacks(made: str) -> dict:
    """Objects whose unpickling would make the folder `made`."""
    code = f"__import__('os').mkdir({made!r})"
    objects = np.empty(1, object)
    objects[0] = Call(os.mkdir, made)
    return {
        "os.mkdir": Call(os.mkdir, made),
        "os.system": Call(os.system, f"mkdir {made}"),
        "eval": Call(eval, code),
        "eval with scope": Call(eval, code, {"data": np.zeros(1)}),
        "eval of data over nothing": Call(eval, "data", {"data": Call(os.mkdir, made)}),
        "exec": Call(exec, code),
        "import": Call(__import__, "this"),
        "getattr": Call(getattr, os, "mkdir"),
        "object array": objects,
        "inside a tuple": ("name", [Call(os.mkdir, made)]),
        "a key": {Call(os.mkdir, made): 1},
    }


@pytest.mark.parametrize("name", list(attacks("x")))
@pytest.mark.parametrize("place", ["value", "whole file"])
def test_no_file_can_run_code(tmp_path, name, place):
    made = tmp_path / "made"
    attack = attacks(str(made))[name]
    if name == "getattr":                           # a module cannot be pickled, its name can
        attack = Call(getattr, Call(__import__, "os"), "mkdir")
    save_raw(OrderedDict(w=attack) if place == "value" else attack, tmp_path / "w.pdparams")
    with pytest.raises(InputError, match="w.pdparams"):
        state = read_state(tmp_path / "w.pdparams")
        assert name == "object array" and not state        # dropped or refused, never kept
        raise InputError("w.pdparams")
    assert not made.exists()


def test_the_attacks_would_work_on_an_ordinary_unpickler(tmp_path):
    save_raw(attacks(str(tmp_path / "made"))["eval"], tmp_path / "w.pdparams")
    pickle.loads((tmp_path / "w.pdparams").read_bytes())
    assert (tmp_path / "made").exists()


def test_attributes_of_allowed_functions_cannot_be_turned_against_the_reader(tmp_path):
    made = tmp_path / "made"
    raw = (b"\x80\x02cbuiltins\neval\n(N}X\x0c\x00\x00\x00__defaults__cos\nsystem\n\x85sub.")
    (tmp_path / "w.pdparams").write_bytes(raw)
    with pytest.raises(InputError, match="os.system"):
        read_state(tmp_path / "w.pdparams")
    assert not made.exists()


def test_objects_outside_the_file_are_refused(tmp_path):
    class Outside(pickle.Pickler):
        def persistent_id(self, value):
            return "key" if isinstance(value, bytes) else None

    buffer = io.BytesIO()
    Outside(buffer, protocol=2).dump({"w": b"bytes"})
    (tmp_path / "w.pdparams").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="refers to objects outside the file"):
        read_state(tmp_path / "w.pdparams")


def test_a_zip_of_another_framework_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.pdparams", "w") as file:
        file.writestr("data.pkl", b"")
    with pytest.raises(InputError, match="is not a whole weight file"):
        read_state(tmp_path / "w.pdparams")


@pytest.fixture
def carded(network, tmp_path):
    """A weight file with a card that notes its checksum."""
    file = tmp_path / "student.pdparams"
    save_weights(network, file)
    (tmp_path / CARD).write_text(json.dumps({"sha256": {file.name: sha256_file(file)}}))
    return file


def test_a_file_altered_after_it_was_written_is_refused(carded, network):
    load_weights(network, carded)
    content = bytearray(carded.read_bytes())
    content[-40] ^= 1                               # one bit of one weight
    carded.write_bytes(bytes(content))
    with pytest.raises(InputError, match="student.pdparams .*was truncated or altered.*SHA-256"):
        load_weights(network, carded)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": 3}', '{"sha256": 7}'])
def test_a_damaged_card_is_refused_by_name(carded, content):
    (carded.parent / CARD).write_text(content)
    with pytest.raises(InputError, match="checkpoint.json, which notes the checksum of student.pdparams, cannot be read"):
        read_state(carded)
