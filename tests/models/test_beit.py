from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.beit import BEiT, relative_positions
from ssld.models.stages import stages_of
from ssld.models.zoo import build_network
from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import make_engine

# that its answers are those of the original network: tests/import_weights/test_mapping.py


@pytest.fixture(params=["relative", "absolute"])
def network(request):
    paddle.seed(0)
    network = BEiT(5, 16, 4, 2, img_size=24, patch=8, positions=request.param)
    for parameter in network.parameters():
        parameter.set_value(parameter + 0.1 * paddle.randn(parameter.shape))
    return network


def images(count: int):
    return paddle.to_tensor(np.random.default_rng(count).normal(size=(count, 3, 24, 24)).astype(np.float32))


def test_pairs_at_the_same_distance_share_an_entry_and_no_others_do():
    side = 3
    table, patches = relative_positions(side), [divmod(i, side) for i in range(side * side)]
    meaning = {}
    for i, (row, column) in enumerate(patches):
        for j, (other_row, other_column) in enumerate(patches):
            distance = (row - other_row, column - other_column)
            assert meaning.setdefault(int(table[1 + i, 1 + j]), distance) == distance
    assert len(meaning) == (2 * side - 1) ** 2
    assert {int(value) for value in (*table[0, 1:], *table[1:, 0], table[0, 0])} == {25, 26, 27}
    assert len(set(table[0, 1:])) == len(set(table[1:, 0])) == 1


@pytest.mark.parametrize("name, options, count", [
    ("BEiTv2_base_patch16", {}, 86_530_984), ("BEiT_large_patch14", {}, 304_203_752),
    ("BEiT_large_patch14", {"position_size": 196}, 304_142_312)])
def test_the_networks_have_the_weights_of_the_papers(name, options, count):
    with paddle.LazyGuard():
        network = build_network(name, 1000, **options)
    assert sum(int(np.prod(parameter.shape)) for parameter in network.parameters()) == count


def test_blocks_take_patch_tokens_without_the_class_token(network):
    """Where nothing attends to the class token, the patch tokens are those of a pass without it."""
    x = paddle.to_tensor(np.random.default_rng(0).normal(size=(2, 9, 16)).astype(np.float32))
    alone = network.blocks[0](x).numpy()
    assert alone.shape == (2, 9, 16)
    attention = network.blocks[0].attn
    if hasattr(attention, "relative_position_bias_table"):
        table = attention.relative_position_bias_table.numpy()
        table[25] = table[26] = -1e9                                            # from and to the class token
        attention.relative_position_bias_table.set_value(table)
        whole = network.blocks[0](paddle.concat([paddle.zeros([2, 1, 16]), x], axis=1)).numpy()
        np.testing.assert_allclose(alone, whole[:, 1:], atol=1e-6)


def test_positions_of_another_size_are_interpolated_and_those_of_the_same_are_not_touched(oracle):
    network, vision = BEiT(5, 16, 2, 2, 24, 8, "absolute", 24), oracle("vision")
    x = vision.patches(images(1).numpy(), network.patch_embed.proj)
    x = np.concatenate([vision.values(network.cls_token), x], 1) + vision.values(network.pos_embed)
    for block in network.blocks:
        x = vision.block(x, block, 2)
    expected = vision.linear(vision.norm(x[:, 1:].mean(1), network.fc_norm), network.head)
    np.testing.assert_allclose(network(images(1)).numpy(), expected, atol=1e-5)
    wider = BEiT(5, 16, 2, 2, 40, 8, "absolute", 24)
    wider.set_state_dict(network.state_dict())
    wider.pos_embed.set_value(paddle.ones_like(wider.pos_embed))
    np.testing.assert_allclose(wider._positions().numpy(), np.ones((1, 26, 16)), atol=1e-6)


def test_an_engine_answers_like_the_network_for_any_batch(network, capsys):
    engine, eager = make_engine(network), EagerEngine(network)
    for count in (3, 1, 5):
        np.testing.assert_allclose(engine(images(count)).numpy(), eager(images(count)).numpy(), atol=1e-4)
    assert engine.name == "onednn_fp32" and not capsys.readouterr().err


def test_every_weight_learns(network):
    network(images(2)).pow(2).sum().backward()
    silent = [name for name, parameter in network.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not silent


def test_images_of_another_size_are_refused(network):
    with pytest.raises(InputError, match="takes images of 24 x 24 pixels, found 32 x 32. Set its img_size"):
        network(paddle.zeros([1, 3, 32, 32]))
    with pytest.raises(InputError, match="img_size must be a multiple of 16, not 225"):
        build_network("BEiTv2_base_patch16", 10, img_size=225)
    with pytest.raises(InputError, match="position_size must be a multiple of 14, not 197"):
        build_network("BEiT_large_patch14", 10, position_size=197)


def test_its_stages_are_quarters_of_its_blocks(network):
    stages = stages_of(network)
    assert stages.groups[1:] == (("blocks.0",), ("blocks.1",), ("blocks.2",), ("blocks.3",)) and stages.stride == 8
