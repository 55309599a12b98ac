"""The 8-bit model is the network with coarser numbers, and is calibrated on what it is told."""
from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ssld.errors import InputError
from ssld.export import models
from ssld.export.comparison import compare, network_logits
from ssld.export.int8 import export_int8
from ssld.export.models import write_models
from ssld.export.onnx import onnx_program


@pytest.fixture(scope="module")
def quantised(exported):
    model = onnx.load(str(exported / "student_int8.onnx"))
    return model.graph, {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def made_by(graph):
    return {output: node for node in graph.node for output in node.output}


def test_filters_and_matrices_are_in_8_bits_with_a_scale_for_each_channel(quantised, student):
    graph, constants = quantised
    makers, filters = made_by(graph), [node for node in graph.node if node.op_type == "Conv"]
    assert len(filters) == sum(len(p.shape) == 4 for p in student.network.parameters())
    for node in filters:
        weight = makers[node.input[1]]
        assert weight.op_type == "DequantizeLinear" and constants[weight.input[0]].dtype == np.int8
        assert constants[weight.input[1]].shape == constants[weight.input[0]].shape[:1]
        assert makers[node.input[0]].op_type == "DequantizeLinear"
    large = [name for name, value in constants.items() if value.dtype == np.float32 and value.ndim > 1]
    assert not large and "BatchNormalization" not in {node.op_type for node in graph.node}


def test_the_scale_of_the_input_comes_from_the_extremes_of_the_calibration(quantised, images):
    graph, constants = quantised
    first = next(node for node in graph.node if graph.input[0].name in node.input)
    assert first.op_type == "QuantizeLinear"
    assert constants[first.input[1]] == pytest.approx((images.max() - images.min()) / 255, rel=1e-5)


def test_other_images_give_another_calibration(exported, images, tmp_path):
    export_int8(exported / "student.onnx", tmp_path / "twice.onnx", 2 * images)
    model = onnx.load(str(tmp_path / "twice.onnx"))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    first = next(node for node in model.graph.node if model.graph.input[0].name in node.input)
    assert constants[first.input[1]] == pytest.approx(2 * (images.max() - images.min()) / 255, rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["twice.onnx"]


def test_it_answers_much_as_the_network_does_and_is_smaller(exported, student, images, logits):
    found = onnx_program(exported / "student_int8.onnx", 5)(images)
    compared = compare(logits(student.network, images), found)
    assert 1e-4 < compared.difference < 0.05 and compared.same_top1 >= 8 / 9
    assert (exported / "student_int8.onnx").stat().st_size < 0.5 * (exported / "student.onnx").stat().st_size


def test_a_model_that_cannot_be_quantised_is_a_clear_error(images, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    with pytest.raises(InputError, match="ONNX Runtime cannot put this network into 8 bits: .* Leave int8 out"):
        export_int8(tmp_path / "broken.onnx", tmp_path / "out.onnx", images)
    assert [file.name for file in tmp_path.iterdir()] == ["broken.onnx"]


def test_a_model_that_loses_the_networks_classes_is_warned_of(network_of, images, tmp_path, capsys, monkeypatch):
    network = network_of("SmallResNet", width=4)
    expected = network_logits(network, images)
    monkeypatch.setattr(models, "onnx_program", lambda *_: lambda batch: -expected[:len(batch)])
    written = write_models(network, tmp_path, images, ["int8"], lambda: images)
    assert written["int8"].compared.same_top1 == 0.0
    assert "student_int8.onnx gives the network's class to 0.0 % of 9 images only" in capsys.readouterr().err
