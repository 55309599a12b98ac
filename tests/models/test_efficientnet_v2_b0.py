from __future__ import annotations

import paddle
import pytest
from paddle import nn

from ssld.models.efficientnet_v2_b0 import EfficientNetV2B0
from ssld.models.inverted_residual import SqueezeExcitation


@pytest.fixture(scope="module")
def network():
    network = EfficientNetV2B0(3)
    network.eval()
    return network


def test_the_stages_have_their_widths_and_resolutions(network):
    shapes = []
    for stage in (network.stem, network.stage1, network.stage2, network.stage3, network.stage4, network.stage5,
                  network.stage6, network.head):
        stage.register_forward_post_hook(lambda layer, inputs, output: shapes.append(tuple(output.shape[1:3])))
    network(paddle.zeros([1, 3, 96, 96]))
    assert shapes == [(32, 48), (16, 48), (32, 24), (48, 12), (96, 6), (112, 6), (192, 3), (1280, 3)]


def test_squeeze_and_excitation_has_a_quarter_of_the_blocks_input(network):
    layers = [layer for layer in network.sublayers() if isinstance(layer, SqueezeExcitation)]
    assert [layer.reduce.weight.shape[0] for layer in layers] == [12, 24, 24, 24, 28, 28, 28, 28, 28] + [48] * 7
    assert [layer.reduce.weight.shape[1] for layer in layers] == (
        [48 * 4, 96 * 4, 96 * 4, 96 * 6] + [112 * 6] * 5 + [192 * 6] * 7)


def test_padding_and_epsilon_are_those_of_tensorflow(network):
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    wide = [layer for layer in network.sublayers() if isinstance(layer, nn.Conv2D) and layer._kernel_size[0] == 3]
    assert {layer._epsilon for layer in norms} == {1e-3}
    assert {layer._padding_algorithm for layer in wide} == {"SAME"}
