"""What holds for FBNet-C, EfficientNetV2-B0 and SReT-LT alike."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.export.inference import export_inference
from ssld.models.features import WithFeatures
from ssld.models.zoo import build_network
from ssld.teachers.engines import make_engine
from ssld.teachers.onednn import OneDNNProgram

SIZE = 64
NETWORKS = {"FBNetC": {}, "EfficientNetV2_B0": {}, "SReT_LT": {"img_size": SIZE}}
every_network = pytest.mark.parametrize("name", NETWORKS)


def build(name, class_num=5, seed=3):
    paddle.seed(seed)
    return build_network(name, class_num, **NETWORKS[name])


def used(name):
    """A network whose batch-norm statistics are not those of a new one."""
    network = build(name)
    network.train()
    with paddle.no_grad():
        for seed in range(20):
            network(images(8, seed=seed) + 0.5)
    return network


def images(count=4, size=SIZE, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal((count, 3, size, size)).astype(np.float32))


def answers(network, image) -> np.ndarray:
    network.eval()
    with paddle.no_grad():
        return network(image).numpy()


def after_a_step(network, seed):
    """Training logits, and the weights after a step of plain gradient descent."""
    network.train()
    paddle.seed(seed)
    logits = network(images())
    logits.square().mean().backward()
    optimizer = paddle.optimizer.SGD(0.001, parameters=network.parameters())
    optimizer.step()
    optimizer.clear_grad()
    return logits.numpy(), {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("name, count", [("FBNetC", 5_572_200), ("EfficientNetV2_B0", 7_139_704), ("SReT_LT", 4_988_024)])
def test_there_are_as_many_weights_as_published(name, count):
    network = build_network(name, 1000)
    assert sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient) == count
    assert answers(network, images(1, 224)).shape == (1, 1000)


@every_network
def test_class_num_is_the_width_of_the_answer_and_the_seed_decides_the_weights(name):
    network = build(name, 7)
    assert answers(network, images(2)).shape == (2, 7)
    np.testing.assert_array_equal(answers(network, images(2)), answers(build(name, 7), images(2)))
    assert (answers(network, images(2)) != answers(build(name, 7, seed=4), images(2))).any()


@every_network
def test_the_answer_to_an_image_depends_on_nothing_else(name):
    network = used(name)
    paddle.seed(10)
    whole = answers(network, images(4))
    paddle.seed(11)
    np.testing.assert_array_equal(answers(network, images(4)), whole)
    for place in range(4):
        alone = answers(network, images(4)[place:place + 1])[0]
        np.testing.assert_allclose(alone, whole[place], atol=1e-4 * np.abs(whole).max())


@every_network
def test_every_weight_learns(name):
    network = build(name)
    network.train()
    network(images()).square().mean().backward()
    idle = [n for n, p in network.named_parameters() if not p.stop_gradient and (p.grad is None or not p.grad.abs().sum() > 0)]
    assert not idle


@every_network
def test_a_step_with_the_same_seed_is_the_same_step(name):
    (first, weights), (second, same) = (after_a_step(build(name), 8) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert all(np.array_equal(weights[key], same[key]) for key in weights)


@every_network
def test_the_exported_network_gives_the_same_logits_for_any_batch(name, tmp_path):
    network = used(name)
    assert export_inference(network, tmp_path, (SIZE, SIZE)) < 1e-4
    program = OneDNNProgram(tmp_path / "inference")
    for count in (1, 3):
        expected = answers(network, images(count))
        np.testing.assert_allclose(program(images(count).numpy()), expected, atol=1e-4 * np.abs(expected).max())


@every_network
def test_onednn_runs_it_without_falling_back(name, capsys):
    network = build(name)
    engine, expected = make_engine(network), answers(network, images(3))
    np.testing.assert_allclose(engine(images(3)).numpy(), expected, atol=1e-4 * np.abs(expected).max())
    assert engine.name == "onednn_fp32" and "instead of" not in capsys.readouterr().err


@pytest.mark.parametrize("name, width", [("FBNetC", 1984), ("EfficientNetV2_B0", 1280), ("SReT_LT", 256)])
def test_what_the_classifier_sees_can_be_shown(name, width):
    network = build(name)
    expected = answers(network, images(2))
    wide = WithFeatures(network)
    logits, features = wide.split(answers(wide, images(2)))
    assert features.shape == (2, width)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
