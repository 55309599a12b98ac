"""Memory against what is really there after a step."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.describe.memory import Memory, in_words, memory_of, memory_of_run
from ssld.models.freeze import Frozen
from ssld.models.zoo import build_network
from ssld.optim.optimizers import OPTIMIZERS, REMEMBERED, optimizer_state


def test_every_optimizer_is_known():
    assert sorted(REMEMBERED) == OPTIMIZERS.names()


@pytest.mark.parametrize("name", sorted(REMEMBERED))
def test_an_optimizer_remembers_what_is_said_of_it(name):
    """Besides, it keeps single numbers, such as powers of its betas."""
    network = build_network("SmallResNet", 3)
    optimizer = OPTIMIZERS.build(name, {}, "here", network=network, learning_rate=0.1)
    network(paddle.ones([2, 3, 32, 32])).sum().backward()
    optimizer.step()
    kept = [value for value in optimizer_state(optimizer, network).values() if value.size > 1]
    assert sum(value.nbytes for value in kept) == memory_of(network, REMEMBERED[name]).optimizer


def test_weights_gradients_and_average_are_those_of_the_tensors():
    network = build_network("SmallResNet", 3)
    state = sum(tensor.numpy().nbytes for tensor in network.state_dict().values())
    trained = sum(tensor.numpy().nbytes for tensor in network.parameters() if not tensor.stop_gradient)
    assert 0 < trained < state
    assert memory_of(network, 2, averaged=True) == Memory(state, trained, 2 * trained, state)


def test_what_is_frozen_has_no_gradient():
    network = build_network("SmallResNet", 3, width=16)
    Frozen(network, ["fc"])
    assert memory_of(network, 1)[1:] == (4 * (64 * 3 + 3),) * 2 + (0,)
    assert np.prod(network.fc.weight.shape) == 64 * 3


def test_of_a_run_only_what_brings_layers_is_named_and_equal_methods_add_up():
    student, projector, teacher = (build_network("SmallResNet", 3) for _ in range(3))
    Frozen(teacher, [])
    found = memory_of_run(student, [paddle.nn.ReLU(), projector, projector], teacher, 1, True)
    assert list(found) == ["student", "SmallResNet", "teacher"]
    assert found["SmallResNet"].total == 2 * memory_of(projector, 1).total
    assert found["teacher"][1:] == (0, 0, 0) and found["student"].average > 0 == found["SmallResNet"].average


def test_bytes_are_said_in_the_unit_that_fits():
    assert (in_words(0), in_words(3 * 2 ** 19), in_words(3 * 2 ** 29)) == ("-", "1.5 MiB", "1.50 GiB")
