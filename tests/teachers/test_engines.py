from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models.zoo import build_network
from ssld.teachers import engines, onednn
from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import CheckedEngine, make_engine, spread_difference
from ssld.teachers.live import LiveTeacher
from ssld.teachers.onednn import OneDNNEngine


@pytest.fixture(params=["SmallResNet", "MobileNetV3_small_x0_35", pytest.param("ResNet18_vd", marks=pytest.mark.slow)])
def network(request):
    """A network whose statistics are not those of a new one, in evaluation mode."""
    paddle.seed(3)
    network = build_network(request.param, 5)
    network.train()
    for _ in range(3):
        network(images(8) * 2 + 1)
    network.eval()
    return network


@pytest.fixture
def small():
    paddle.seed(3)
    return build_network("SmallResNet", 5)


def images(count: int, size: int = 32):
    return paddle.to_tensor(np.random.default_rng([count, size]).normal(size=(count, 3, size, size)).astype(np.float32))


def logits_of(network, image) -> np.ndarray:
    with paddle.no_grad():
        return network(image).numpy()


def arrays(network) -> dict:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def test_onednn_equals_eager_execution_for_any_batch_and_image_size(network):
    engine = make_engine(network)
    for count, size in ((4, 32), (1, 32), (3, 64), (2, 32)):
        expected = logits_of(network, images(count, size))
        np.testing.assert_allclose(engine(images(count, size)).numpy(), expected, atol=1e-4 * np.abs(expected).max())
    assert engine.name == "onednn_fp32"


def test_each_image_size_is_exported_once(small, monkeypatch):
    sizes = []
    export = onednn.export_program

    def watched(network, prefix, size):
        sizes.append(size)
        export(network, prefix, size)

    monkeypatch.setattr(onednn, "export_program", watched)
    engine = OneDNNEngine(small)
    for size in (32, 32, 48, 32, 48):
        engine(images(2, size))
    assert sizes == [(32, 32), (48, 48)]


def test_the_eager_engine_is_the_network_itself(network):
    np.testing.assert_array_equal(EagerEngine(network)(images(4)).numpy(), logits_of(network, images(4)))


def test_batch_statistics_are_used_and_the_stored_ones_stay_equal_to_the_bit(network):
    before, running = arrays(network), logits_of(network, images(8))
    engine = make_engine(network, "auto", "batch")
    of_batch = engine(images(8)).numpy()
    assert all(np.array_equal(before[name], value) for name, value in arrays(network).items())
    assert np.abs(of_batch - running).max() > 1e-3 * np.abs(running).max()
    assert not any(layer.training for layer in network.sublayers() if isinstance(layer, nn.Dropout))


def test_batch_statistics_are_those_of_the_batch():
    network = nn.Sequential(nn.BatchNorm2D(3), nn.Flatten())
    image = images(6, 4) * 5 + 2
    expected = (image.numpy() - image.numpy().mean((0, 2, 3), keepdims=True)) / np.sqrt(
        image.numpy().var((0, 2, 3), keepdims=True) + 1e-5)
    np.testing.assert_allclose(EagerEngine(network, "batch")(image).numpy().reshape(expected.shape), expected, atol=1e-4)


@pytest.mark.parametrize("options", [{"engine": "eager"}, {"engine": "onednn_fp32"}, {"batch_norm": "batch"}])
def test_answers_carry_no_gradient_and_the_network_is_frozen(small, options):
    teacher = LiveTeacher(make_engine(small, **options))
    image = images(2)
    image.stop_gradient = False
    outputs = teacher({"image": image})
    assert outputs.logits.stop_gradient and outputs.logits.shape == [2, 5]
    assert all(parameter.stop_gradient for parameter in small.parameters()) and not small.training
    assert teacher.provides == {"probabilities", "logits", "features"}


def test_batch_statistics_are_run_eagerly_and_a_wish_for_onednn_is_answered(small, capsys):
    assert make_engine(small, "onednn_fp32", "batch").name == "eager"
    assert "eager instead of onednn_fp32" in capsys.readouterr().err


class NotExportable(nn.Layer):
    """A network that only eager execution understands."""

    def forward(self, image):
        if not paddle.in_dynamic_mode():
            raise NotImplementedError("no static form")
        return image.flatten(1)[:, :5]


def test_a_network_that_cannot_be_exported_is_run_eagerly_and_the_reason_is_given_once(capsys):
    engine = make_engine(NotExportable())
    for count in (2, 3):
        np.testing.assert_array_equal(engine(images(count)).numpy(), logits_of(NotExportable(), images(count)))
    said = capsys.readouterr().err
    assert engine.name == "eager"
    assert said.count("engine: eager instead of onednn_fp32, since it cannot run the network (") == 1


def test_a_fault_of_the_network_itself_is_not_hidden():
    class Faulty(nn.Layer):
        def forward(self, image):
            raise RuntimeError("a fault of its own")

    with pytest.raises(RuntimeError, match="a fault of its own"):
        make_engine(Faulty())(images(1))


@pytest.mark.parametrize("options, message", [({"engine": "tensorrt"}, "engine cannot be 'tensorrt'"),
                                              ({"engine": "egaer"}, "Did you mean 'eager'"),
                                              ({"batch_norm": "moving"}, "batch_norm cannot be 'moving'")])
def test_an_unknown_engine_or_batch_norm_is_refused(small, options, message):
    with pytest.raises(InputError, match=message):
        make_engine(small, **options)


def wrong_by(part: float, monkeypatch) -> None:
    """oneDNN programs answer with the first logit off by `part` of the spread of the answers."""
    original = onednn.OneDNNProgram.__call__

    def call(self, image):
        answer = original(self, image)
        answer[0, 0] += part * np.abs(answer - answer.mean(1, keepdims=True)).max()
        return answer

    monkeypatch.setattr(onednn.OneDNNProgram, "__call__", call)


def test_a_program_that_answers_differently_is_not_used_and_the_reason_is_given(small, monkeypatch, capsys):
    wrong_by(0.001, monkeypatch)
    engine = make_engine(small)
    for count in (3, 2):
        np.testing.assert_array_equal(engine(images(count)).numpy(), logits_of(small, images(count)))
    said = capsys.readouterr().err
    assert engine.name == "eager"
    assert said.count("engine: eager instead of onednn_fp32, since their answers differ by 0.001 of the spread") == 1


def test_rounding_is_not_taken_for_a_wrong_program(small, monkeypatch, capsys):
    wrong_by(0.00005, monkeypatch)
    engine = make_engine(small)
    engine(images(3))
    assert engine.name == "onednn_fp32" and not capsys.readouterr().err


def test_each_image_size_is_compared_once_on_a_few_images(small, monkeypatch):
    asked = []
    original = EagerEngine.__call__
    monkeypatch.setattr(EagerEngine, "__call__", lambda self, image: asked.append(image.shape) or original(self, image))
    engine = make_engine(small)
    for count, size in ((12, 32), (12, 32), (2, 48), (12, 32)):
        engine(images(count, size))
    assert asked == [[8, 3, 32, 32], [2, 3, 48, 48]]


def test_a_common_offset_of_the_logits_does_not_hide_a_difference():
    expected = np.float32([[1000, 1001, 999]])
    assert spread_difference(expected + np.float32([[0, 0.5, 0]]), expected) == 0.5


def test_answers_that_are_not_finite_are_a_difference(small, capsys):
    class Constant:
        name, network = "constant", small

        def __call__(self, image):
            return paddle.full([len(image), 5], float("nan"))

    engine = CheckedEngine(Constant(), EagerEngine(small), 1e-4)
    np.testing.assert_array_equal(engine(images(2)).numpy(), logits_of(small, images(2)))
    assert "since their answers differ by nan" in capsys.readouterr().err


def test_bfloat16_is_refused_where_nothing_compares_it_first(small):
    with pytest.raises(InputError, match="onednn_bf16 is compared with float32 before it is used.*Use engine: onednn_fp32"):
        make_engine(small, "onednn_bf16")(images(1))


def test_onednn_is_refused_on_another_device(small, monkeypatch):
    monkeypatch.setattr(engines.paddle, "get_device", lambda: "gpu:0")
    with pytest.raises(InputError, match="engine onednn_bf16 runs on the CPU, but the device is gpu:0. Use engine: auto"):
        make_engine(small, "onednn_bf16")
    assert make_engine(small).name == "eager"
