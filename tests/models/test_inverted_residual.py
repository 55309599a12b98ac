from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from ssld.models.inverted_residual import InvertedResidual, SqueezeExcitation, conv_bn, mobile_classifier


def values(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("kernel, stride", [(3, 1), (3, 2), (5, 2), (1, 1)])
def test_same_padding_puts_the_odd_pixel_at_the_right_and_below(size, kernel, stride):
    layer = conv_bn(3, 4, kernel, stride, padding="SAME")[0]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)       # TensorFlow's rule
    before, after = total // 2, total - total // 2
    padded = F.pad(values(2, 3, size, size), [before, after, before, after])
    np.testing.assert_allclose(layer(values(2, 3, size, size)).numpy(), F.conv2d(padded, layer.weight, stride=stride).numpy(),
                               atol=1e-5)


@pytest.mark.parametrize("stride, after, shortcut", [(1, 8, True), (2, 8, False), (1, 12, False)])
def test_there_is_a_shortcut_where_the_shape_stays(stride, after, shortcut):
    block = InvertedResidual(8, after, 3, stride, 6, nn.ReLU)
    block.eval()
    image = values(2, 8, 6, 6)
    residual = block.project(block.depthwise(block.expand(image)))
    expected = residual + image if shortcut else residual
    np.testing.assert_array_equal(block(image).numpy(), expected.numpy())
    assert block(image).shape == [2, after, 6 // stride, 6 // stride]


def test_the_expansion_is_there_at_ratio_1_too():
    assert InvertedResidual(8, 8, 3, 1, 1, nn.ReLU).expand[0].weight.shape == [8, 8, 1, 1]


def test_channels_are_weighted_by_their_means():
    layer, image = SqueezeExcitation(6, 2, nn.Silu), values(2, 6, 3, 4)
    mean = image.numpy().mean((2, 3))
    hidden = mean @ layer.reduce.weight.numpy()[:, :, 0, 0].T
    gate = (hidden / (1 + np.exp(-hidden))) @ layer.expand.weight.numpy()[:, :, 0, 0].T
    expected = image.numpy() / (1 + np.exp(-gate))[:, :, None, None]
    np.testing.assert_allclose(layer(image).numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("before, after, kernel, groups", [(64, 128, 3, 1), (512, 512, 5, 512), (256, 96, 1, 1)])
def test_convolutions_start_with_the_spread_of_their_outputs(before, after, kernel, groups):
    paddle.seed(0)
    weight = conv_bn(before, after, kernel, groups=groups)[0].weight.numpy()
    expected = np.sqrt(2 / (kernel ** 2 * after / groups))
    assert abs(weight.std() / expected - 1) < 6 / np.sqrt(2 * weight.size) and abs(weight.mean()) < 0.1 * expected


def test_the_classifier_starts_within_its_bound():
    paddle.seed(0)
    layer = mobile_classifier(300, 100)
    assert 0.098 < np.abs(layer.weight.numpy()).max() <= 0.1 and not layer.bias.numpy().any()
