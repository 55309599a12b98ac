"""An ONNX file is the network, or there is none."""
from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.export import comparison
from ssld.export import onnx as onnx_export
from ssld.export.card import read_card
from ssld.export.comparison import network_logits
from ssld.export.onnx import OPSET, export_onnx, unsupported_operators
from ssld.export.student import Student, export_student
from ssld.teachers.onednn import export_program

IMAGE = np.random.default_rng(1).standard_normal((4, 3, 4, 4)).astype(np.float32)


class WithOperator(nn.Layer):
    """A linear layer behind some operator."""

    def __init__(self, operator):
        super().__init__()
        self.operator, self.fc = operator, nn.Linear(48, 5)

    def forward(self, image):
        return self.fc(self.operator(image.flatten(1)))


def written(network, tmp_path):
    network.eval()
    export_program(network, tmp_path / "inference", (4, 4))
    return tmp_path / "inference"


@pytest.mark.parametrize("operator, name", [(paddle.digamma, "digamma"), (paddle.erfinv, "erfinv"),
                                            (lambda x: paddle.fft.fft(x).real(), "real")])
def test_an_operator_that_is_not_supported_is_named_with_a_remedy(operator, name, tmp_path):
    network = WithOperator(operator)
    prefix = written(network, tmp_path)
    with pytest.raises(InputError, match=f"Paddle2ONNX does not support {name}, so .*inference.json.*Paddle Inference"):
        export_onnx(prefix, tmp_path / "student.onnx", IMAGE, network_logits(network, IMAGE))
    assert not (tmp_path / "student.onnx").exists()


def test_nothing_is_written_of_an_export_whose_onnx_file_cannot_be(tmp_path):
    student = Student(WithOperator(paddle.digamma), {"name": "WithOperator", "class_num": 5})
    with pytest.raises(InputError, match="digamma"):
        export_student(student, tmp_path / "out", IMAGE, also=["onnx"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["SmallResNet", "MobileNetV3_small_x0_35", "ShuffleNetV2_x0_25", "MobileNetV1_x0_25"])
def test_no_operator_of_a_network_that_converts_is_called_unknown(name, network_of, tmp_path):
    export_program(network_of(name), tmp_path / "inference", (32, 32))
    assert unsupported_operators(tmp_path / "inference") == []


@pytest.mark.slow
@pytest.mark.parametrize("name, size, options", [
    ("ResNet18_vd", 64, {}), ("MobileNetV2_x0_25", 64, {}), ("PPLCNet_x0_25", 64, {}), ("PPHGNetV2_B0", 64, {}),
    ("FBNetC", 64, {}), ("EfficientNetV2_B0", 64, {}), ("SReT_LT", 64, {"img_size": 64}), ("SmallSwin", 64, {"img_size": 64}),
    ("DeiT_tiny_patch16_224", 224, {}), ("Mixer_S_16", 224, {}), ("DeiT_tiny_conv_stem", 64, {"img_size": 64}),
    ("Res2Net50_vd_26w_4s", 64, {}), ("ConvNeXt_tiny", 64, {})])
def test_the_students_of_the_shipped_recipes_convert(name, size, options, network_of, tmp_path):
    image = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype(np.float32)
    network = network_of(name, **options)
    export_student(Student(network, {"name": name, "class_num": 5, **options}), tmp_path, image, also=["onnx"])
    card = read_card(tmp_path)
    assert max(card.difference.values()) <= 1e-4 and set(card.same_top1.values()) == {1.0}
    assert card.engine == ("native" if name == "ConvNeXt_tiny" else "onednn_fp32")


def test_the_file_is_of_the_stated_version_and_takes_any_batch(exported):
    import onnx
    import onnxruntime

    model = onnx.load(str(exported / "student.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import if each.domain in ("", "ai.onnx")] == [OPSET]
    shape = onnxruntime.InferenceSession(str(exported / "student.onnx")).get_inputs()[0].shape
    assert not isinstance(shape[0], int) and shape[1:] == [3, 32, 32]


def test_onnx_runtime_alone_gives_the_networks_logits(exported, student, images, logits):
    """In a process that knows neither Paddle nor this package, as it will be used."""
    script = ("import io, sys, numpy as np, onnxruntime as ort; s = ort.InferenceSession(sys.argv[1]); "
              "x = np.load(io.BytesIO(sys.stdin.buffer.read())); out = io.BytesIO(); "
              "np.save(out, s.run(None, {s.get_inputs()[0].name: x})[0]); sys.stdout.buffer.write(out.getvalue())")
    buffer = io.BytesIO()
    np.save(buffer, images)
    argv = [sys.executable, "-c", script, str(exported / "student.onnx")]
    done = subprocess.run(argv, input=buffer.getvalue(), capture_output=True, check=True)
    found, expected = np.load(io.BytesIO(done.stdout)), logits(student.network, images)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))


def test_a_file_that_answers_otherwise_is_refused_and_removed(tmp_path, network_of, images, monkeypatch):
    network = network_of("SmallResNet", width=4)
    export_program(network, tmp_path / "inference", (32, 32))
    expected = network_logits(network, images)
    expected[0, 0] += 2e-4 * np.abs(expected).max()
    with pytest.raises(InputError, match="the ONNX model differs from the network by 0.0002 of the largest logit, more"):
        export_onnx(tmp_path / "inference", tmp_path / "student.onnx", images, expected)
    assert not (tmp_path / "student.onnx").exists()
    monkeypatch.setattr(comparison, "TOLERANCE", 1e-3)
    export_onnx(tmp_path / "inference", tmp_path / "student.onnx", images, expected)
    assert (tmp_path / "student.onnx").exists()


class WithToken(nn.Layer):
    """A token put before the others by expand_as, which Paddle2ONNX gets wrong for any number of images."""

    def __init__(self):
        super().__init__()
        self.token, self.fc = self.create_parameter([1, 1, 48]), nn.Linear(48, 5)

    def forward(self, image):
        patches = image.reshape([-1, 1, 48])
        return self.fc(paddle.concat([self.token.expand_as(patches), patches], axis=1).mean(1))


def test_a_file_that_onnx_runtime_cannot_run_is_refused_and_removed(tmp_path):
    network = WithToken()
    prefix = written(network, tmp_path)
    with pytest.raises(InputError, match="ONNX Runtime cannot run what Paddle2ONNX made of this network: .*Expand.*Deploy the"):
        export_onnx(prefix, tmp_path / "student.onnx", IMAGE, network_logits(network, IMAGE))
    assert not (tmp_path / "student.onnx").exists()


def test_another_failure_of_the_converter_tells_its_last_words(tmp_path, monkeypatch):
    network = WithOperator(paddle.tanh)
    prefix = written(network, tmp_path)
    monkeypatch.setattr(onnx_export, "_CONVERT", "import sys; print('a remark', file=sys.stderr); sys.exit('out of memory')")
    with pytest.raises(InputError, match="Paddle2ONNX cannot convert this network .exit status 1.: out of memory. Deploy"):
        export_onnx(prefix, tmp_path / "student.onnx", IMAGE, network_logits(network, IMAGE))
    assert not (tmp_path / "student.onnx").exists()
