from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

pytest.importorskip("onnxruntime", reason="needs pip install ssld[onnx]")
pytest.importorskip("onnx", reason="makes its files with the onnx package")

from ssld.distiller import Distiller, Term  # noqa: E402
from ssld.errors import InputError  # noqa: E402
from ssld.methods.js import JSDivLoss  # noqa: E402
from ssld.methods.kd import KDLoss  # noqa: E402
from ssld.models.small_resnet import SmallResNet  # noqa: E402
from ssld.teachers.eager import EagerEngine  # noqa: E402
from ssld.teachers.live import LiveTeacher  # noqa: E402
from ssld.teachers.onnx import OnnxEngine, OnnxTeacher  # noqa: E402
from ssld.teachers.own_view import OwnView  # noqa: E402


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


files = _load("onnx_files")


@pytest.fixture
def network():
    return files.small_network()


@pytest.fixture
def file(tmp_path, network):
    return files.write(tmp_path / "teacher.onnx", network)


def image(count: int = 5, size: int = 8):
    return paddle.to_tensor(files.images(count, size))


def close(answer, expected, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(answer.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


NAMED = {"pool": "pooled", "stage1": "map"}


@pytest.mark.parametrize("method", [JSDivLoss, KDLoss])
def test_the_same_network_in_paddle_and_in_onnx_gives_equal_losses_and_gradients(file, network, method):
    losses, gradients = [], []
    for teacher in (LiveTeacher(EagerEngine(network)), OnnxTeacher(OnnxEngine(file, 4, NAMED))):
        paddle.seed(1)
        student = SmallResNet(4, width=4)
        distiller = Distiller(student, teacher, [Term(method())])
        total = distiller({"image": image(6)}).total
        total.backward()
        losses.append(float(total))
        gradients.append({name: p.grad.numpy() for name, p in student.named_parameters() if p.grad is not None})
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0] > 1e-3
    for name, gradient in gradients[0].items():
        np.testing.assert_allclose(gradients[1][name], gradient, atol=1e-5 * max(1e-3, np.abs(gradient).max()), err_msg=name)


def test_logits_are_those_of_the_network_for_any_number_and_size_of_images(file, network):
    engine = OnnxEngine(file, 4, NAMED)
    for count, size in ((1, 8), (5, 8), (3, 12)):
        close(engine(image(count, size)), network(image(count, size)))
    assert engine.name == "onnx_cpu" and engine(image()).stop_gradient


def test_a_file_with_a_fixed_batch_is_run_in_pieces(tmp_path, network):
    engine = OnnxEngine(files.write(tmp_path / "fixed.onnx", network, batch=2, size=(8, 8)), 4, NAMED)
    for count in (1, 2, 5):
        close(engine(image(count)), network(image(count)))
    features = engine.ask(image(5), ("pool", "stage1"))[1]
    assert features["pool"].shape == [5, 6] and features["stage1"].shape == [5, 6, 4, 4]


def test_half_precision_files_take_and_give_float32(tmp_path, network):
    half = files.write(tmp_path / "half.onnx", network, dtype=files.TensorProto.FLOAT16)
    answer = OnnxEngine(half, 4, NAMED)(image())
    assert answer.dtype == paddle.float32
    close(answer, network(image()), 5e-3)


def test_named_outputs_are_features_with_their_shapes(file, network):
    teacher = OnnxTeacher(OnnxEngine(file, 4, NAMED))
    assert teacher.provides == {"probabilities", "logits", "features"}
    assert teacher.show(["pool", "stage1"], (8, 8)) == {"pool": (6,), "stage1": (6, 4, 4)}
    outputs = teacher({"image": image()})
    expected = network.relu(network.conv(image()))
    close(outputs.features["stage1"], expected)
    close(outputs.features["pool"], expected.mean([2, 3]))
    close(outputs.logits, network(image()))


def test_without_named_outputs_there_are_no_features_and_a_method_that_reads_them_is_refused(tmp_path, network):
    teacher = OnnxTeacher(OnnxEngine(files.write(tmp_path / "plain.onnx", network, features=False), 4))
    assert teacher.provides == {"probabilities", "logits"}
    with pytest.raises(InputError, match="no output is given for the teacher's feature 'pool'.*Set outputs: {pool: NAME}"):
        teacher.show(["pool"], (8, 8))


def test_probabilities_become_logits_up_to_a_constant_and_are_not_offered_as_logits(tmp_path, network):
    soft = files.write(tmp_path / "soft.onnx", network, softmax=True, features=False)
    engine = OnnxEngine(soft, 4, probabilities=True)
    close(paddle.nn.functional.softmax(engine(image())), paddle.nn.functional.softmax(network(image())))
    assert engine.provides == {"probabilities"}
    with pytest.raises(InputError, match="soft.onnx gives probabilities, not logits. Set probabilities: true"):
        OnnxEngine(soft, 4)(image())


def test_a_teacher_with_a_view_of_its_own_is_asked_about_that(tmp_path, network):
    fixed = files.write(tmp_path / "fixed.onnx", network, size=(16, 16))
    teacher = OnnxTeacher(OnnxEngine(fixed, 4, NAMED), view=OwnView(size=16, interpolation="nearest"))
    assert teacher.show(["stage1"], (8, 8)) == {"stage1": (6, 8, 8)}
    larger = image().repeat_interleave(2, 2).repeat_interleave(2, 3)
    outputs = teacher({"image": image()})
    close(outputs.logits, network(larger))
    close(teacher.logits(image()), network(larger))
    close(outputs.features["stage1"], network.relu(network.conv(larger)))


@pytest.mark.parametrize("arguments, message", [
    ({"outputs": {"pool": "pooledd"}}, "has no output 'pooledd'. Did you mean 'pooled'"),
    ({"logits": "logit", "outputs": NAMED}, "has no output 'logit'. Did you mean 'logits'"),
    ({}, "has the outputs logits, map, pooled. Say which one gives the logits"),
    ({"class_num": 10, "outputs": NAMED}, r"output 'logits' has the shape \['N', 4\], expected \[B, 10\]"),
    ({"class_num": 10, "logits": "pooled"}, r"expected \[B, 10\] as class_num says.*set logits to another output"),
    ({"logits": "map"}, r"output 'map' has the shape \[.*\], expected \[B, 4\]")])
def test_outputs_that_do_not_fit_are_refused(file, arguments, message):
    with pytest.raises(InputError, match=message):
        OnnxEngine(file, **{"class_num": 4, **arguments})


def test_a_width_that_only_the_answer_shows_is_refused(tmp_path):
    engine = OnnxEngine(files.write_flatten(tmp_path / "flat.onnx", shape=("N", 3, "H", "W")), 4)
    with pytest.raises(InputError, match=r"output 'logits' gave \[5, 12\] for 5 images, expected \[5, 4\]"):
        engine(image(5, 2))


@pytest.mark.parametrize("dtype, shape", [(files.TensorProto.FLOAT, ("N", 1, 8, 8)), (files.TensorProto.FLOAT, ("N", 8, 8, 3)),
                                          (files.TensorProto.FLOAT, ("N", 12)), (files.TensorProto.UINT8, ("N", 3, 2, 2))])
def test_a_file_that_takes_no_images_is_refused(tmp_path, dtype, shape):
    with pytest.raises(InputError, match=r"expected images \[B, 3, height, width\] in float32 or float16"):
        OnnxEngine(files.write_flatten(tmp_path / "other.onnx", dtype, shape), 12)


def test_images_of_another_size_are_refused_with_both_sizes(tmp_path, network):
    engine = OnnxEngine(files.write(tmp_path / "fixed.onnx", network, size=(8, 8)), 4, NAMED)
    with pytest.raises(InputError, match="takes images of 8 x 8 pixels, found 12 x 12. Set the teacher's size"):
        engine(image(2, 12))


@pytest.mark.parametrize("content", [b"", b"no protobuf at all", b"\x08\x07" * 40])
def test_a_file_that_is_no_onnx_file_is_refused(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(InputError, match="bad.onnx cannot be loaded as an ONNX file"):
        OnnxEngine(tmp_path / "bad.onnx", 4)


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match="cannot be loaded as an ONNX file"):
        OnnxEngine(file, 4)


def test_a_missing_file_and_a_missing_package_say_what_to_do(file, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="gone.onnx does not exist"):
        OnnxEngine(tmp_path / "gone.onnx", 4)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"need ONNX Runtime. Install it: pip install ssld\[onnx\]"):
        OnnxEngine(file, 4)
