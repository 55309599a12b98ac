from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from ssld.models.freeze import Frozen
from ssld.models.frozen_norm import FrozenLayerNorm, differentiable
from ssld.models.zoo import build_network
from ssld.teachers.eager import freeze
from ssld.teachers.onednn import OneDNNEngine


def moved(network: nn.Layer) -> nn.Layer:
    """Scales and shifts that do something."""
    for layer in network.sublayers(include_self=True):
        if isinstance(layer, nn.LayerNorm):
            layer.weight.set_value(1 + 0.4 * paddle.randn(layer.weight.shape, layer.weight.dtype))
            layer.bias.set_value(0.4 * paddle.randn(layer.bias.shape, layer.bias.dtype))
    return network


def slope(network, x) -> np.ndarray:
    """Of a sum of squares of the answers, in x."""
    x = paddle.to_tensor(x, stop_gradient=False)
    network(x).square().sum().backward()
    return x.grad.numpy()


def differences(network, x, step=1e-5) -> np.ndarray:
    """The same by finite differences."""
    found = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        ends = []
        for sign in (1, -1):
            there = x.copy()
            there[place] += sign * step
            ends.append(float(network(paddle.to_tensor(there)).square().sum()))
        found[place] = (ends[0] - ends[1]) / (2 * step)
    return found


@pytest.fixture
def network():
    """Two layer norms among linear layers, frozen; float64."""
    paddle.seed(0)
    layers = nn.LayerNorm(6), nn.Linear(6, 5), nn.GELU(), nn.LayerNorm(5, epsilon=1e-3), nn.Linear(5, 3)
    return freeze(moved(nn.Sequential(*layers).to(dtype="float64")))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(0, 2, (3, 6))


def test_the_gradient_through_frozen_norms_is_that_of_finite_differences(network, x):
    expected = differences(network, x)
    np.testing.assert_allclose(slope(differentiable(network), x), expected, atol=1e-6 * np.abs(expected).max())


def test_without_it_this_paddle_gives_another_gradient_on_the_cpu(network, x):
    """When this fails, Paddle has mended it; ssld.models.frozen_norm can go."""
    expected = differences(network, x)
    assert np.abs(slope(network, x) - expected).max() > 0.05 * np.abs(expected).max()


def test_answers_keep_their_values_to_the_bit_where_no_gradient_is_wanted(network, x):
    before = network(paddle.to_tensor(x)).numpy()
    names = list(network.state_dict())
    differentiable(network)
    np.testing.assert_array_equal(network(paddle.to_tensor(x)).numpy(), before)
    np.testing.assert_allclose(network(paddle.to_tensor(x, stop_gradient=False)).numpy(), before, rtol=1e-12)
    assert list(network.state_dict()) == names


def test_norms_that_train_and_norms_without_weights_stay_what_they_are():
    network = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4, weight_attr=False, bias_attr=False), nn.LayerNorm(4))
    network[2].weight.stop_gradient = True
    assert [type(layer) for layer in differentiable(network)] == [nn.LayerNorm, nn.LayerNorm, FrozenLayerNorm]


def test_a_norm_without_shift_will_do():
    norm = nn.LayerNorm(4, bias_attr=False)
    norm.weight.stop_gradient = True
    x = paddle.randn([2, 4])
    np.testing.assert_array_equal(differentiable(norm)(x).numpy(), F.layer_norm(x, [4], norm.weight).numpy())


def test_hooks_stay_and_a_second_time_changes_nothing(network, x):
    seen = []
    network[3].register_forward_post_hook(lambda layer, given, made: seen.append(type(layer)))
    differentiable(differentiable(network))(paddle.to_tensor(x))
    assert seen == [FrozenLayerNorm]


def test_what_trains_before_a_frozen_norm_gets_its_true_gradient():
    """A student of which the first layers train: gradients cross everything behind these."""
    paddle.seed(0)
    network = moved(build_network("ViT_S_16", 3, img_size=32)).to(dtype="float64")
    network.eval()
    image = paddle.randn([2, 3, 32, 32], "float64")

    def of_patches() -> np.ndarray:
        network(image).square().sum().backward()
        found = network.patch_embed.proj.weight.grad.numpy()
        network.clear_gradients()
        return found

    expected = of_patches()
    Frozen(network, ["patch_embed"]).hold()
    np.testing.assert_allclose(of_patches(), expected, atol=1e-10 * np.abs(expected).max())


def test_a_network_with_such_norms_can_be_exported():
    paddle.seed(0)
    network = freeze(moved(build_network("ViT_S_16", 3, img_size=32)))
    image = paddle.randn([2, 3, 32, 32])
    expected = network(image).numpy()
    found = OneDNNEngine(differentiable(network))(image).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
