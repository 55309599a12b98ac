from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from ssld.export.inference import export_inference
from ssld.models.regnet_y import RegNetY, RegNetY_16GF
from ssld.models.stages import stages_of
from ssld.models.tap import Taps
from ssld.models.zoo import build_network
from ssld.teachers.onednn import OneDNNProgram

SIZE = 64


@pytest.fixture(scope="module")
def small():
    """Three stages, as other members of the family may have."""
    paddle.seed(0)
    network = RegNetY((1, 2, 1), (16, 24, 40), 8, 5)
    network.eval()
    return network


def images(count=2, size=SIZE):
    return paddle.to_tensor(np.random.default_rng(0).standard_normal((count, 3, size, size)).astype(np.float32))


def widths_of_design(w_0, w_a, w_m, depth):
    """Equations 2 to 4 of the paper: u_j = w_0 + w_a j; s_j = round(log(u_j / w_0) / log w_m); w_0 w_m^s_j, to 8 and to 112."""
    u = w_0 + w_a * np.arange(depth)
    exact = w_0 * w_m ** np.round(np.log(u / w_0) / np.log(w_m))
    return np.round(np.round(exact / 8) * 8 / 112).astype(int) * 112


@pytest.fixture(scope="module")
def teacher():
    network = build_network("RegNetY_16GF", 1000)
    network.eval()
    return network


def test_there_are_as_many_weights_as_published(teacher):
    assert sum(parameter.size for parameter in teacher.parameters() if not parameter.stop_gradient) == 83_590_140


def test_depths_and_widths_are_those_of_the_design(teacher):
    widths = [block.conv3.conv.weight.shape[0] for stage in teacher.stages for block in getattr(teacher, stage)]
    assert widths == list(widths_of_design(200, 106.23, 2.48, 18))
    assert sorted(set(widths)) == [224, 448, 1232, 3024] and [widths.count(w) for w in sorted(set(widths))] == [2, 4, 11, 1]


def test_a_squeeze_is_a_quarter_of_what_its_block_receives(teacher):
    squeezes = [getattr(teacher, stage)[block].se.fc1.weight.shape[0] for stage, block in
                (("s1", 0), ("s1", 1), ("s2", 0), ("s2", 1), ("s3", 0), ("s3", 10), ("s4", 0))]
    assert squeezes == [8, 56, 56, 112, 112, 308, 308]


def test_a_picture_of_224_pixels_gives_maps_of_7_x_7_and_3024_pooled_features(teacher):
    taps = Taps(teacher, ["stage0", "stage1", "stage4", "pre_stage4", "pool"], (224, 224))
    assert taps.shapes == {"stage0": (32, 112, 112), "stage1": (224, 56, 56), "stage4": (3024, 7, 7),
                           "pre_stage4": (3024, 7, 7), "pool": (3024,)}


def batch_norm(x, layer):
    return F.batch_norm(x, layer._mean, layer._variance, layer.weight, layer.bias)


def test_a_block_is_what_the_paper_draws(small):
    """1x1, grouped 3x3 of the block's stride, squeeze and excitation, 1x1; a projection where the shape changes."""
    for block, stride, width in ((small.s2[0], 2, 16), (small.s2[1], 1, 24)):
        x = paddle.randn([2, width, 12, 12])
        y = F.relu(batch_norm(F.conv2d(x, block.conv1.conv.weight), block.conv1.bn))
        y = F.relu(batch_norm(F.conv2d(y, block.conv2.conv.weight, stride=stride, padding=1, groups=3), block.conv2.bn))
        gate = y.mean([2, 3]) @ block.se.fc1.weight[:, :, 0, 0].T + block.se.fc1.bias
        gate = F.sigmoid(F.relu(gate) @ block.se.fc2.weight[:, :, 0, 0].T + block.se.fc2.bias)
        y = batch_norm(F.conv2d(y * gate[:, :, None, None], block.conv3.conv.weight), block.conv3.bn)
        short = x
        if stride == 2:
            short = batch_norm(F.conv2d(x, block.downsample.conv.weight, stride=2), block.downsample.bn)
        else:
            assert block.downsample is None
        np.testing.assert_allclose(block(x).numpy(), F.relu(y + short).numpy(), atol=1e-5)


def test_the_classifier_sees_the_mean_of_the_last_map(small):
    taps = Taps(small, ["stage3", "pool"], (SIZE, SIZE))
    logits, features = taps(images())
    np.testing.assert_allclose(features["pool"].numpy(), features["stage3"].numpy().mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(logits.numpy(), (features["pool"] @ small.fc.weight + small.fc.bias).numpy(), atol=1e-5)
    assert stages_of(small).groups == (("stem",), ("s1",), ("s2",), ("s3",))


def test_every_weight_learns():
    paddle.seed(0)
    network = RegNetY((1, 2, 1), (16, 24, 40), 8, 5)
    network(images(4)).square().mean().backward()
    assert not [n for n, p in network.named_parameters() if not p.stop_gradient and not p.grad.abs().sum() > 0]


def test_onednn_runs_it_as_an_exported_program(small, tmp_path):
    small.eval()
    assert export_inference(small, tmp_path, (SIZE, SIZE)) < 1e-4
    program = OneDNNProgram(tmp_path / "inference")
    with paddle.no_grad():
        expected = small(images(3)).numpy()
    np.testing.assert_allclose(program(images(3).numpy()), expected, atol=1e-4 * np.abs(expected).max())


def test_class_num_is_the_width_of_the_answer():
    assert RegNetY_16GF(7).fc.weight.shape == [3024, 7]
