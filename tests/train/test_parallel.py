from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.models.small_resnet import SmallResNet
from ssld.train.parallel import average_statistics, gather_rows, seed_step


def draws(seed: int, step: int) -> list:
    seed_step(seed, step)
    return paddle.rand([4]).numpy().tolist()


def test_the_random_draws_of_a_step_follow_from_seed_and_step():
    first = draws(3, 10)
    draws(3, 11)
    assert draws(3, 10) == first
    assert draws(3, 11) != first and draws(4, 10) != first


def test_one_process_keeps_its_rows_and_statistics():
    rows = np.arange(6).reshape(3, 2)
    assert gather_rows(rows) is rows
    network = SmallResNet(3, width=4)
    network(paddle.randn([2, 3, 8, 8]))
    before = network.stem[1]._mean.numpy().copy()
    average_statistics(network)
    np.testing.assert_array_equal(network.stem[1]._mean.numpy(), before)


def test_two_processes_get_the_mean_of_their_statistics_and_keep_their_weights(monkeypatch):
    from ssld.train import parallel

    network = SmallResNet(3, width=4)
    network.stem[1]._variance.set_value(paddle.full([4], 3.0))
    weight = network.fc.weight.numpy().copy()
    reduced = []

    def all_reduce(tensor):                 # the other process has statistics of 1
        reduced.append(tensor)
        tensor.set_value(tensor + 1.0)

    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "all_reduce", all_reduce)
    average_statistics(network)
    assert network.stem[1]._variance.numpy() == pytest.approx(np.full(4, 2.0))
    assert len(reduced) == sum(name.endswith(("_mean", "_variance")) for name in network.state_dict())
    np.testing.assert_array_equal(network.fc.weight.numpy(), weight)
