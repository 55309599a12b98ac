from __future__ import annotations

import paddle
from paddle import nn

from ssld.models.fbnet import FBNetC
from ssld.models.inverted_residual import InvertedResidual


def test_the_stages_have_their_widths_and_resolutions():
    network, shapes = FBNetC(3), []
    network.eval()
    for stage in (network.stem, network.stage1, network.stage2, network.stage3, network.stage4, network.stage5, network.head):
        stage.register_forward_post_hook(lambda layer, inputs, output: shapes.append(tuple(output.shape[1:3])))
    network(paddle.zeros([1, 3, 96, 96]))
    assert shapes == [(16, 48), (16, 48), (24, 24), (32, 12), (112, 6), (352, 3), (1984, 3)]


def test_kernels_and_shortcuts_are_those_of_the_search():
    blocks = [layer for layer in FBNetC(3).sublayers() if isinstance(layer, InvertedResidual)]
    assert [block.depthwise[0]._kernel_size[0] for block in blocks] == [3] * 4 + [5, 5, 5, 3] + [5] * 12 + [3]
    assert sum(block.has_shortcut for block in blocks) == len(blocks) - 6       # but for where the width changes
    assert {layer._epsilon for layer in FBNetC(3).sublayers() if isinstance(layer, nn.BatchNorm2D)} == {1e-5}
