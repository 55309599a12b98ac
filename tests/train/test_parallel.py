from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.small_resnet import SmallResNet
from ssld.optim.ema import EMA
from ssld.train import parallel
from ssld.train.parallel import average_statistics, gather_rows, seed_step, together


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
    assert network.stem[1]._mean.numpy() == pytest.approx(np.full(4, 0.5)) and len(reduced) == 1
    assert reduced[0].size == sum(t.size for name, t in network.state_dict().items() if name.endswith(("_mean", "_variance")))
    np.testing.assert_array_equal(network.fc.weight.numpy(), weight)


def test_the_statistics_of_an_average_are_averaged_too(monkeypatch):
    network = SmallResNet(3, width=4)
    ema = EMA(network, 0.5)
    network.stem[1]._mean.set_value(paddle.full([4], 4.0))
    ema.update()                            # 2 here, 0 in the other process
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "all_reduce", lambda tensor: None)
    weight = ema.state()["fc.weight"].copy()
    average_statistics(ema)
    assert ema.state()["stem.1._mean"].tolist() == [1.0] * 4 and network.stem[1]._mean.numpy().tolist() == [4.0] * 4
    np.testing.assert_array_equal(ema.state()["fc.weight"], weight)


@pytest.fixture
def other_process(monkeypatch):
    """other_process(text): two processes, of which the other one leaves its block with an error of this text, or None."""
    exchanged = []

    def act(text, main: bool = True) -> list:
        def all_reduce(flag, operator):
            exchanged.append("flag")
            flag.set_value(paddle.maximum(flag, paddle.to_tensor([text is not None], dtype="int32")))

        def all_gather_object(texts, own):
            exchanged.append("texts")
            texts.extend([own, text] if main else [text, own])

        monkeypatch.setattr(parallel, "world_size", lambda: 2)
        monkeypatch.setattr(parallel, "is_main", lambda: main)
        monkeypatch.setattr(parallel.dist, "all_reduce", all_reduce)
        monkeypatch.setattr(parallel.dist, "all_gather_object", all_gather_object)
        monkeypatch.setattr(parallel.time, "sleep", lambda seconds: exchanged.append("waited"))
        return exchanged
    return act


def test_without_an_error_processes_exchange_one_flag_and_go_on(other_process):
    exchanged = other_process(None)
    with together():
        pass
    assert exchanged == ["flag"]


@pytest.mark.parametrize("main", [True, False])
def test_an_error_of_another_process_ends_this_one_with_the_same_words(other_process, main):
    exchanged = other_process("train.txt:7 is broken", main)
    with pytest.raises(InputError, match="^train.txt:7 is broken$"):
        with together():
            pass
    assert exchanged == ["flag", "texts"] + ([] if main else ["waited"])      # the main one's exit status counts


def test_an_error_of_this_process_is_raised_when_the_others_know(other_process):
    exchanged = other_process(None)
    with pytest.raises(InputError, match="^of my own$"):
        with together():
            raise InputError("of my own")
    assert exchanged == ["flag", "texts"]


def test_a_single_process_exchanges_nothing():
    with together():
        pass
    with pytest.raises(InputError, match="^of my own$"):
        with together():
            raise InputError("of my own")
