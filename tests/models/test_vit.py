from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.vit import ViT
from ssld.models.zoo import build_network

SIZE, HEADS = 24, 3


def made(pool="gap", seed=0, **options):
    """A narrow one of 3 x 3 patches whose biases and scales are not what they begin as."""
    paddle.seed(seed)
    network = ViT(5, 24, 8, SIZE, pool, depth=2, heads=HEADS, **options)
    for parameter in network.parameters():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))
    network.eval()
    return network


def images(count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def expected(network, vision, image):
    """Logits, with a class token or without."""
    x = vision.patches(image, network.patch_embed.proj)
    if network.pool == "cls":
        x = np.concatenate([np.tile(vision.values(network.cls_token), (len(x), 1, 1)), x], 1)
    x = x + vision.values(network.pos_embed)
    for block in network.blocks:
        x = vision.block(x, block, HEADS)
    x = vision.norm(x, network.norm)
    return vision.linear(x.mean(1) if network.pool == "gap" else x[:, 0], network.head)


@pytest.mark.parametrize("pool", ["gap", "cls"])
def test_the_answer_is_that_of_the_definition(pool, oracle):
    network = made(pool)
    np.testing.assert_allclose(network(paddle.to_tensor(images())).numpy(), expected(network, oracle("vision"), images()),
                               atol=1e-5)


@pytest.mark.parametrize("name, pool, count", [
    ("ViT_S_16", "gap", 22_049_896), ("ViT_S_16", "cls", 22_050_664), ("ViT_B_16", "gap", 86_566_120),
    ("ViT_B_16", "cls", 86_567_656), ("ViT_B_14", "gap", 86_473_960), ("ViT_B_14", "cls", 86_475_496)])
def test_the_published_networks_have_their_weights(name, pool, count):
    """Published: 22.05 and 86.57 million, with a class token and its position; without these a gap network has 2 width less."""
    with paddle.LazyGuard():
        network = build_network(name, 1000, pool=pool)
    assert sum(int(np.prod(parameter.shape)) for parameter in network.parameters()) == count


@pytest.mark.parametrize("pool", ["gap", "cls"])
def test_every_weight_learns(pool):
    network = made(pool)
    network.train()
    network(paddle.to_tensor(images())).square().sum().backward()
    assert not [n for n, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]


def test_stochastic_depth_acts_in_training_only(assert_random_in_training_only):
    network = made(drop_path_rate=0.5)
    assert [block.drop_path for block in network.blocks] == [0, 0.5]
    assert_random_in_training_only(network, images(16))


def test_an_engine_answers_like_the_network_for_any_batch(assert_engine_agrees):
    assert_engine_agrees(made(), images)


@pytest.mark.parametrize("options, message", [
    ({"img_size": 225}, "img_size must be a multiple of 16, not 225"), ({"pool": "max"}, "pool cannot be 'max'"),
    ({"drop_path_rate": 1.0}, r"drop_path_rate must lie in \[0, 1\)"), ({"patch": 14}, "has no option 'patch'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_network("ViT_S_16", 5, **options)


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match="this ViT takes images of 24 x 24 pixels, found 32 x 24. Set its img_size"):
        made()(paddle.zeros([1, 3, 24, 32]))
