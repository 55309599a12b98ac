"""Multiply-adds against closed formulas and published tables."""
from __future__ import annotations

import paddle
import pytest
from paddle import nn

from ssld.describe.count import cost_of, parameter_count
from ssld.errors import InputError
from ssld.methods.base import Cost
from ssld.models.zoo import build_network

# parameters in millions and multiply-adds in billions at 224 pixels: Fan et al., arXiv:2411.06786, tables of results
PUBLISHED = [("MobileNetV1", 4.23, 0.58), ("ResNet50", 25.56, 4.12), ("ConvNeXt_tiny", 28.59, 4.46),
             ("Mixer_S_16", 18.53, 3.78), ("ViT_S_16", 22.05, 4.61), ("Mixer_B_16", 59.88, 12.61), ("ViT_B_16", 86.57, 17.58),
             ("Mixer_B_14", 60.30, 16.45), ("ViT_B_14", 86.47, 23.09)]
LIGHT = ("MobileNetV1", "ViT_S_16")


@pytest.mark.parametrize("layer, expected", [
    (lambda: nn.Conv2D(3, 8, 3, padding=1), 10 * 12 * 8 * 3 * 9),
    (lambda: nn.Conv2D(3, 6, 3, stride=2, padding=1, groups=3), 5 * 6 * 6 * 1 * 9),
    (lambda: nn.Conv2DTranspose(3, 8, 2, stride=2), 10 * 12 * 3 * 8 * 4),
    (lambda: nn.Sequential(nn.Flatten(), nn.Linear(360, 7)), 360 * 7),
    (lambda: nn.Sequential(nn.ReLU(), nn.BatchNorm2D(3)), 0)])
def test_a_layer_takes_what_its_formula_says(layer, expected):
    assert cost_of(layer(), (10, 12)).multiply_adds == expected


class Attends(nn.Layer):
    """Attention of rows among rows, its products written in three ways."""

    def forward(self, image):
        rows = image.flatten(0, 1)                                               # [3, 10, 12]
        weights = paddle.matmul(rows, rows, transpose_y=True)                    # 3 x 10 x 10 from 12
        read = paddle.bmm(weights, rows)                                         # 3 x 10 x 12 from 10
        return read, paddle.matmul(rows, rows, transpose_x=True)                 # 3 x 12 x 12 from 10


def test_products_of_attention_count():
    assert cost_of(Attends(), (10, 12)) == Cost(0, 3 * 100 * 12 + 3 * 120 * 10 + 3 * 144 * 10)


@pytest.mark.parametrize("name, millions, billions", [pytest.param(*row, marks=[] if row[0] in LIGHT else [pytest.mark.slow])
                                                      for row in PUBLISHED])
def test_a_student_is_as_large_as_published(name, millions, billions):
    """The published work of convolutional networks includes normalisation, 2 % of that of a MobileNet."""
    cost = cost_of(build_network(name, 1000), (224, 224))
    assert cost.parameters / 1e6 == pytest.approx(millions, abs=0.006)
    assert cost.multiply_adds / 1e9 == pytest.approx(billions, rel=0.025 if name == "MobileNetV1" else 0.01)


@pytest.mark.slow
def test_of_a_swin_transformer_the_published_work_leaves_attention_out():
    """4.36 G are its linear layers and the convolution; the products of attention are 2 x 49 x width for each position."""
    cost = cost_of(build_network("SwinTransformer_tiny_patch4_window7_224", 1000), (224, 224))
    attention = sum(blocks * side ** 2 * 2 * 49 * width for blocks, side, width in
                    ((2, 56, 96), (2, 28, 192), (6, 14, 384), (2, 7, 768)))
    assert cost.parameters / 1e6 == pytest.approx(28.29, abs=0.006)
    assert (cost.multiply_adds - attention) / 1e9 == pytest.approx(4.36, rel=0.01)


def test_statistics_of_batch_norm_are_no_parameters_and_frozen_ones_are():
    network = nn.Sequential(nn.Conv2D(3, 4, 1), nn.BatchNorm2D(4))
    for parameter in network.parameters():
        parameter.stop_gradient = True
    assert parameter_count(network) == 12 + 4 + 8


def test_the_network_stays_in_its_mode_and_trains_as_before():
    network = build_network("SmallResNet", 3)
    network.train()
    network.stage1.eval()
    modes = [layer.training for layer in network.sublayers(include_self=True)]
    image = paddle.ones([2, 3, 32, 32])
    cost_of(network, (32, 32))
    assert [layer.training for layer in network.sublayers(include_self=True)] == modes
    network(image).sum().backward()
    assert float(network.fc.weight.grad.abs().sum()) > 0


class Undecided(nn.Layer):
    def forward(self, image):
        return image if float(image.numpy().sum()) else None


def test_a_network_that_is_no_program_is_refused_by_name():
    with pytest.raises(InputError, match="multiply-adds of Undecided are not known"):
        cost_of(Undecided(), (8, 8))
