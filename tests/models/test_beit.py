from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.beit import BEiT, BEiTv2_base_patch16, relative_positions
from ssld.models.stages import stages_of
from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import make_engine

# that its answers are those of the original network: tests/import_weights/test_mapping.py


@pytest.fixture
def network():
    paddle.seed(0)
    network = BEiT(5, 16, 4, 2, img_size=24, patch=8)
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


def test_the_base_network_has_the_weights_of_the_paper():
    with paddle.LazyGuard():
        network = BEiTv2_base_patch16(1000)
    assert sum(int(np.prod(parameter.shape)) for parameter in network.parameters()) == 86_530_984


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
        BEiTv2_base_patch16(10, 225)


def test_its_stages_are_quarters_of_its_blocks(network):
    stages = stages_of(network)
    assert stages.groups[1:] == (("blocks.0",), ("blocks.1",), ("blocks.2",), ("blocks.3",)) and stages.stride == 8
