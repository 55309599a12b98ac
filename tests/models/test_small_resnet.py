from __future__ import annotations

import paddle
import pytest

from ssld.errors import InputError
from ssld.models.small_resnet import SmallResNet


def trainable_count(class_num: int, blocks: int, w: int) -> int:
    """Weights of the paper's network: 3x3 convolutions, two numbers per batch-norm channel, 1x1 projections, classifier."""
    count = 3 * w * 9 + 2 * w
    before = w
    for width in (w, 2 * w, 4 * w):
        for _ in range(blocks):
            count += before * width * 9 + width * width * 9 + 4 * width
            if before != width:
                count += before * width + 2 * width
            before = width
    return count + 4 * w * class_num + class_num


@pytest.mark.parametrize("class_num, depth, width", [(10, 8, 16), (4, 14, 4), (100, 20, 8)])
def test_the_number_of_weights_follows_the_formula(class_num, depth, width):
    network = SmallResNet(class_num, depth, width)
    found = sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient)
    assert found == trainable_count(class_num, (depth - 2) // 6, width)


@pytest.mark.parametrize("depth, width, stem_width, count", [(20, 16, None, 278_324), (56, 16, None, 861_620),
                                                             (8, 64, 32, 1_233_540), (32, 64, 32, 7_433_860)])
def test_the_networks_of_cifar_100_have_the_weights_that_they_are_known_for(depth, width, stem_width, count):
    """resnet20, resnet56, resnet8x4 and resnet32x4."""
    network = SmallResNet(100, depth, width, stem_width=stem_width)
    assert sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient) == count


@pytest.mark.parametrize("size, stem_stride", [((32, 32), 1), ((64, 64), 2), ((17, 40), 1)])
def test_images_of_any_size_give_one_row_of_logits_each(size, stem_stride):
    assert SmallResNet(5, width=4, stem_stride=stem_stride)(paddle.zeros([2, 3, *size])).shape == [2, 5]


def test_the_last_stage_sees_a_quarter_of_the_resolution():
    network = SmallResNet(5, width=4)
    shapes = []
    for stage in (network.stage1, network.stage2, network.stage3):
        stage.register_forward_post_hook(lambda layer, inputs, output: shapes.append(output.shape[1:]))
    network(paddle.zeros([1, 3, 32, 32]))
    assert shapes == [[4, 32, 32], [8, 16, 16], [16, 8, 8]]


@pytest.mark.parametrize("depth", [2, 7, 9, 18])
def test_a_depth_that_is_not_6_n_plus_2_is_refused(depth):
    with pytest.raises(InputError, match=f"depth must be 6 n .* not {depth}"):
        SmallResNet(5, depth)


@pytest.mark.parametrize("width", [0, 1.5, "4"])
def test_a_width_that_is_no_number_of_channels_is_refused(width):
    with pytest.raises(InputError, match="width"):
        SmallResNet(5, width=width)
