from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from ssld.errors import InputError
from ssld.models import sret
from ssld.models.sret import SReTLT


def values(*shape, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


@pytest.fixture(scope="module")
def network():
    paddle.seed(0)
    network = SReTLT(3, img_size=64)
    network.eval()
    return network


def attention_of(layer, x, groups):
    """Softmax attention, group by group and head by head."""
    batch, tokens, width = x.shape
    qkv = x @ layer.qkv.weight.numpy() + layer.qkv.bias.numpy()
    result = np.zeros_like(x)
    for places in np.split(np.arange(tokens), groups):
        for head in range(width // 32):
            query, key, value = (qkv[:, places, part * width + head * 32:part * width + (head + 1) * 32] for part in range(3))
            score = np.exp(query @ key.transpose(0, 2, 1) / np.sqrt(32))
            result[:, places, head * 32:(head + 1) * 32] = score / score.sum(2, keepdims=True) @ value
    return result @ layer.proj.weight.numpy() + layer.proj.bias.numpy()


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_tokens_attend_to_those_of_their_group(network, groups):
    layer, x = network.stages[1].blocks[0].attention, values(2, 16, 128)
    np.testing.assert_allclose(layer(x, groups).numpy(), attention_of(layer, x.numpy(), groups), atol=1e-5)


def test_a_permutation_changes_the_groups_and_is_undone(network):
    block, x = network.stages[0].blocks[0], values(1, 16, 64)
    order = paddle.to_tensor(np.random.default_rng(1).permutation(16))
    shuffled, plain = block(x, 2, order).numpy(), block(x, 2).numpy()
    np.testing.assert_allclose(shuffled[:, order.numpy()], block(x.index_select(order, 1), 2).numpy(), atol=1e-5)
    assert np.abs(shuffled - plain).max() > 1e-3
    np.testing.assert_allclose(block(x, 1, order).numpy(), block(x, 1).numpy(), atol=1e-5)      # one group: no difference


def seen_by_blocks(network, monkeypatch):
    """(stage width, groups, order) of each application of a shared block in one pass."""
    seen, forward = [], sret._SharedBlock.forward

    def watched(self, x, groups, order=None):
        seen.append((x.shape[2], groups, None if order is None else order.numpy()))
        return forward(self, x, groups, order)
    monkeypatch.setattr(sret._SharedBlock, "forward", watched)
    network(values(2, 3, 64, 64))
    return seen


def test_each_block_is_applied_twice_with_its_groups(network, monkeypatch):
    seen = seen_by_blocks(network, monkeypatch)
    assert [(width, groups) for width, groups, _ in seen] == (
        [(64, 8), (64, 2)] * 2 + [(128, 4), (128, 1)] * 5 + [(256, 1), (256, 1)] * 3)
    assert [order is not None for *_, order in seen] == [False, True] * 2 + [False] * 16


def test_the_permutation_is_drawn_while_training_and_fixed_in_evaluation(network, monkeypatch):
    def orders():
        return [order for *_, order in seen_by_blocks(network, monkeypatch) if order is not None]
    fixed = orders()
    assert all(np.array_equal(order, fixed[0]) for order in fixed + orders())
    assert sorted(fixed[0]) == list(range(64)) != list(fixed[0])
    network.train()
    paddle.seed(1)
    drawn, later = orders(), orders()
    paddle.seed(1)
    again = orders()
    network.eval()
    assert len({tuple(order) for order in [*drawn, *later, fixed[0]]}) == 5
    assert all(map(np.array_equal, drawn, again)) and all(map(np.array_equal, orders(), fixed))


def test_the_fixed_permutation_is_no_weight(network):
    assert not [name for name in network.state_dict() if "order" in name]
    paddle.seed(99)
    np.testing.assert_array_equal(SReTLT(3, img_size=64).stages[0].order.numpy(), network.stages[0].order.numpy())


def test_whole_residuals_are_dropped_at_the_rates_of_the_first_positions_of_their_stage(network):
    rates = [block.drop_path for stage in network.stages for block in stage.blocks]
    np.testing.assert_allclose(rates, np.array([0, 1, 4, 5, 6, 7, 8, 14, 15, 16]) * 0.1 / 20)
    assert rates == [block.mlp.drop_path for stage in network.stages for block in stage.blocks]
    assert not any(mlp.drop_path for stage in network.stages for mlp in stage.mlps)
    paddle.seed(0)
    dropped = sret._drop_path(paddle.ones([1000, 3, 4]), 0.3, True).numpy().reshape(1000, 12)
    assert set(np.unique(dropped.round(4))) == {0, np.float32(1 / 0.7).round(4)}
    assert (dropped == dropped[:, :1]).all() and 230 < (dropped[:, 0] == 0).sum() < 370         # five standard deviations


def test_both_sides_of_a_residual_are_scaled(network):
    layer, x = network.stages[0].mlps[0], values(1, 4, 64)
    inner = layer.fc2(F.gelu(layer.fc1(layer.norm(x)))).numpy()
    np.testing.assert_allclose(layer(x).numpy(), x.numpy() + inner, atol=1e-6)
    layer.sum.shortcut.set_value(np.float32([0.5]))
    layer.sum.residual.set_value(np.float32([2.0]))
    np.testing.assert_allclose(layer(x).numpy(), 0.5 * x.numpy() + 2 * inner, atol=1e-6)
    for factor in (layer.sum.shortcut, layer.sum.residual):
        factor.set_value(np.float32([1.0]))


@pytest.mark.parametrize("size", [(32, 32), (96, 96), (64, 96), (224, 224)])
def test_images_of_another_size_than_the_position_map_are_refused(network, size):
    with pytest.raises(InputError, match=rf"SReT_LT takes images of 64 x 64 pixels, found {size[1]} x {size[0]}.*img_size"):
        network(paddle.zeros([1, 3, *size]))


@pytest.mark.parametrize("options, message", [({"img_size": 230}, "multiple of 32, not 230"), ({"img_size": 0}, "img_size"),
                                              ({"drop_path_rate": 1}, "drop_path_rate must lie in")])
def test_options_outside_their_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        SReTLT(3, **options)


def test_initial_values_are_those_of_the_released_code():
    paddle.seed(0)
    network = SReTLT(100)
    for layer, fan_in in ((network.head, 256), (network.stages[0].blocks[0].attention.qkv, 64)):
        assert 0.98 < np.abs(layer.weight.numpy()).max() * np.sqrt(fan_in) <= 1.0001
        assert 0 < np.abs(layer.bias.numpy()).max() * np.sqrt(fan_in) <= 1.0001
    assert abs(network.pos_embed.numpy().std() / 0.02 - 1) < 0.02
