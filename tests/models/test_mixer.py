from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.mixer import Mixer
from ssld.models.zoo import build_network

SIZE, EPSILON = 24, 1e-5


def made(seed=0, **options):
    """A narrow one of 3 x 3 patches whose biases and scales are not what they begin as."""
    paddle.seed(seed)
    network = Mixer(5, 12, 3, 7, 8, SIZE, **options)
    for parameter in network.parameters():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))
    network.eval()
    return network


def images(count=2, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3, SIZE, SIZE)).astype(np.float32)


def test_the_answer_is_that_of_the_definition(oracle):
    network, vision = made(), oracle("vision")
    x = vision.patches(images(), network.patch_embed.proj)
    for block in network.blocks:
        x = x + vision.mlp(vision.norm(x, block.norm1, EPSILON).transpose(0, 2, 1), block.mlp_tokens).transpose(0, 2, 1)
        x = x + vision.mlp(vision.norm(x, block.norm2, EPSILON), block.mlp_channels)
    expected = vision.linear(vision.norm(x, network.norm, EPSILON).mean(1), network.head)
    np.testing.assert_allclose(network(paddle.to_tensor(images())).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("name, count", [("Mixer_S_16", 18_528_264), ("Mixer_B_16", 59_880_472), ("Mixer_B_14", 60_295_912)])
def test_the_published_networks_have_their_weights(name, count):
    """Published: 18.53 and 59.88 million; with patches of 14 pixels the MLPs across tokens are wider."""
    with paddle.LazyGuard():
        network = build_network(name, 1000)
    assert sum(int(np.prod(parameter.shape)) for parameter in network.parameters()) == count
    assert network.blocks[0].mlp_tokens.fc1.weight.shape == [network.side ** 2, 384 if "B" in name else 256]


def test_weights_begin_as_published():
    paddle.seed(0)
    network = Mixer(500, 96, 1, 48, 16, 224)
    block = network.blocks[0]
    for layer, std in ((block.mlp_channels.fc1.weight, np.sqrt(2 / (96 + 384))), (network.head.weight, 0.01),
                       (block.mlp_tokens.fc2.weight, np.sqrt(2 / (48 + 196))), (network.patch_embed.proj.weight, 768 ** -0.5),
                       (block.mlp_channels.fc1.bias, 1e-6)):
        assert layer.numpy().std() == pytest.approx(std, rel=0.15)
    assert not network.head.bias.any() and not network.patch_embed.proj.bias.any()
    limit = np.sqrt(6 / (96 + 384))
    assert 0.99 * limit < np.abs(block.mlp_channels.fc1.weight.numpy()).max() <= limit


def test_every_weight_learns():
    network = made()
    network.train()
    network(paddle.to_tensor(images())).square().sum().backward()
    assert not [n for n, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]


def test_stochastic_depth_acts_in_training_only(assert_random_in_training_only):
    network = made(drop_path_rate=0.5)
    assert [block.drop_path for block in network.blocks] == [0, 0.25, 0.5]
    assert_random_in_training_only(network, images(16))


def test_an_engine_answers_like_the_network_for_any_batch(assert_engine_agrees):
    assert_engine_agrees(made(), images)


def test_another_size_needs_another_network():
    assert build_network("Mixer_S_16", 3, img_size=32)(paddle.zeros([1, 3, 32, 32])).shape == [1, 3]
    with pytest.raises(InputError, match="this Mixer takes images of 24 x 24 pixels, found 32 x 32. Set its img_size"):
        made()(paddle.zeros([1, 3, 32, 32]))
    with pytest.raises(InputError, match="img_size must be a multiple of 14, not 225"):
        build_network("Mixer_B_14", 3, img_size=225)
