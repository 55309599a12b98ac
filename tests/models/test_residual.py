"""Stochastic depth and zero-initialised batch norms of residual networks."""
from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models import residual
from ssld.models.zoo import build_network
from ssld.train.parallel import seed_step


def branches(network):
    return residual._branches(network)


def answers(network, image):
    """What the last layer of each branch hands on."""
    seen = []
    hooks = [branch.register_forward_post_hook(lambda *args: seen.append(args[2].numpy())) for branch in branches(network)]
    network(image)
    for hook in hooks:
        hook.remove()
    return seen


def images(count=64, size=32):
    return paddle.to_tensor(np.random.default_rng(0).normal(size=(count, 3, size, size)).astype(np.float32))


@pytest.mark.parametrize("name, blocks", [("SmallResNet", 9), ("ResNet18", 8), ("ResNet18_vd", 8)])
def test_whole_images_are_dropped_at_rates_that_grow_linearly_and_the_others_are_scaled(name, blocks):
    options = {"depth": 20, "width": 4} if name == "SmallResNet" else {}
    paddle.seed(0)
    network = build_network(name, 3, drop_path=0.5, **options)
    plain = build_network(name, 3, **options)
    plain.set_state_dict(network.state_dict())
    rates = np.zeros(blocks)
    for step in range(6):
        seed_step(0, step)
        maps = answers(network, images())
        assert len(maps) == blocks
        rates += [(np.abs(each).max((1, 2, 3)) == 0).mean() / 6 for each in maps]
    expected = 0.5 * np.arange(blocks) / (blocks - 1)
    np.testing.assert_allclose(rates, expected, atol=0.13)          # five deviations of 0.5 / sqrt(384)
    assert rates[0] == 0
    seed_step(0, 0)
    first, whole = answers(network, images())[1], answers(plain, images())[1]      # of the second block, the first that drops
    kept = np.abs(first).max((1, 2, 3)) > 0
    np.testing.assert_allclose(first[kept], whole[kept] / (1 - expected[1]), rtol=1e-4, atol=1e-5)


def test_draws_come_from_paddles_generator_and_are_those_of_the_step():
    network = build_network("SmallResNet", 3, width=4, drop_path=0.5)

    def drawn(seed, step):
        seed_step(seed, step)
        return network(images(16)).numpy()

    np.testing.assert_array_equal(drawn(1, 5), drawn(1, 5))
    assert (drawn(1, 5) != drawn(1, 6)).any()


def test_in_evaluation_nothing_is_dropped_and_names_of_weights_are_the_same():
    paddle.seed(0)
    plain, dropping = build_network("SmallResNet", 3, width=4), build_network("SmallResNet", 3, width=4, drop_path=0.9)
    assert list(plain.state_dict()) == list(dropping.state_dict())
    dropping.set_state_dict(plain.state_dict())
    plain.eval(), dropping.eval()
    np.testing.assert_array_equal(plain(images(8)).numpy(), dropping(images(8)).numpy())


def test_an_exported_network_drops_nothing(tmp_path):
    network = build_network("SmallResNet", 3, width=4, drop_path=0.9)
    network.eval()
    paddle.jit.save(network, str(tmp_path / "student"), [paddle.static.InputSpec([None, 3, 32, 32])])
    loaded = paddle.jit.load(str(tmp_path / "student"))
    np.testing.assert_allclose(loaded(images(8)).numpy(), network(images(8)).numpy(), atol=1e-5)


@pytest.mark.parametrize("name, options", [("SmallResNet", {"width": 4}), ("ResNet18", {}), ("ResNet50_vd", {})])
def test_blocks_begin_as_their_shortcuts(name, options):
    network = build_network(name, 3, zero_init_last=True, **options)
    maps = answers(network, images(2))
    assert maps and all((each == 0).all() for each in maps)
    norms = [layer for layer in network.sublayers() if isinstance(layer, (nn.BatchNorm, nn.BatchNorm2D))]
    silent = sum(float(norm.weight.abs().max()) == 0 for norm in norms)
    assert silent == len(maps) and all(set(norm.weight.numpy()) in ({0.0}, {1.0}) for norm in norms)


def test_a_zero_scale_still_learns():
    network = build_network("SmallResNet", 3, width=4, zero_init_last=True)
    network(images(4)).sum().backward()
    assert all(float(branch[1].weight.grad.abs().max()) > 0 for branch in branches(network))


def test_a_network_with_a_rate_of_its_own_is_given_it():
    from paddleclas.ppcls.arch.backbone.model_zoo.vision_transformer import DropPath
    network = build_network("DeiT_tiny_patch16_224", 3, drop_path=0.11, img_size=32)
    rates = [layer.drop_prob for layer in network.sublayers() if isinstance(layer, DropPath)]
    np.testing.assert_allclose(rates, 0.11 * np.arange(12)[-len(rates):] / 11, rtol=1e-6)
    assert len(rates) >= 11
    assert build_network("SReT_LT", 3, img_size=32, drop_path=0.4).stages[2].blocks[2].drop_path == pytest.approx(0.4 * 16 / 20)


@pytest.mark.parametrize("name, options, message", [
    ("MobileNetV3_small_x0_35", {"drop_path": 0.1}, "know the residual blocks of ResNet and SmallResNet, not of MobileNetV3"),
    ("DeiT_tiny_patch16_224", {"zero_init_last": True, "img_size": 32}, "not of VisionTransformer"),
    ("SwinTransformerV2_tiny_patch4_window8_256", {"drop_path": 0.1}, "'drop_path_rate' is part of what this name stands for"),
    ("SmallResNet", {"drop_path": 1.0}, r"drop_path must lie in \[0, 1\)"), ("SmallResNet", {"drop_path": "x"}, "drop_path"),
    ("SmallResNet", {"zero_init_last": "yes"}, "zero_init_last")])
def test_what_cannot_be_done_is_refused_with_the_place(name, options, message):
    with pytest.raises(InputError, match=f"^here.*{message}"):
        build_network(name, 3, where="here", **options)
