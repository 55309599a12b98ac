from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models.small_resnet import SmallResNet
from ssld.optim.ema import EMA


@pytest.fixture
def network():
    paddle.seed(0)
    return SmallResNet(3, width=4)


def arrays(network) -> dict:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def shake(network, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for tensor in network.state_dict().values():
        tensor.set_value(rng.uniform(0.5, 1.5, tensor.shape).astype(np.float32))


def test_the_average_follows_its_formula_for_weights_and_statistics(network):
    ema, expected = EMA(network, 0.9), arrays(network)
    for seed in range(4):
        shake(network, seed)
        ema.update()
        expected = {name: 0.9 * expected[name] + 0.1 * value for name, value in arrays(network).items()}
    assert any("_mean" in name for name in expected)
    for name, value in ema.state().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-7, err_msg=name)


def test_the_average_of_a_student_is_that_of_the_whole_it_is_part_of(network):
    """Recipes that average the whole distiller save the student of that average: the same tensors, to the bit."""
    whole = nn.Sequential(("student", network), ("projector", nn.Linear(4, 4)))
    part, all_of_it = EMA(network, 1 - 1e-4), EMA(whole, 1 - 1e-4)
    for seed in range(3):
        shake(whole, seed)
        part.update()
        all_of_it.update()
    for name, value in part.state().items():
        np.testing.assert_array_equal(all_of_it.state()[f"student.{name}"], value, err_msg=name)


def test_what_stands_still_keeps_its_value_to_the_bit(network):
    ema, before = EMA(network, 0.9999), arrays(network)
    for _ in range(5):
        ema.update()
    for name, value in ema.state().items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_the_network_has_the_average_inside_the_block_and_its_own_weights_afterwards(network):
    ema = EMA(network, 0.5)
    shake(network, 1)
    ema.update()
    own, average = arrays(network), ema.state()
    with pytest.raises(RuntimeError, match="in the middle"):
        with ema.applied():
            inside = arrays(network)
            raise RuntimeError("in the middle")
    for name in own:
        np.testing.assert_array_equal(inside[name], average[name])
        np.testing.assert_array_equal(arrays(network)[name], own[name])
    assert any((inside[name] != own[name]).any() for name in own)


def test_decay_0_is_the_network_itself(network):
    ema = EMA(network, 0.0)
    shake(network, 2)
    ema.update()
    for name, value in arrays(network).items():
        np.testing.assert_allclose(ema.state()[name], value, atol=1e-6)


def test_a_restored_average_goes_on_as_if_nothing_had_happened(network):
    ema = EMA(network, 0.9)
    shake(network, 1)
    ema.update()
    again = EMA(network, 0.9)
    again.restore({name: value.copy() for name, value in ema.state().items()})
    shake(network, 2)
    for each in (ema, again):
        each.update()
    for name, value in ema.state().items():
        np.testing.assert_array_equal(again.state()[name], value)


@pytest.mark.parametrize("decay", [1.0, -0.1, 1.5, "0.9", None, float("nan")])
def test_a_decay_outside_0_to_1_is_refused(network, decay):
    with pytest.raises(InputError, match=r"EMA.decay must lie in \[0, 1\)"):
        EMA(network, decay)


def test_a_state_that_lacks_a_tensor_is_not_taken_over_in_silence(network):
    ema = EMA(network, 0.9)
    state = ema.state()
    del state["fc.weight"]
    with pytest.raises(KeyError, match="fc.weight"):
        ema.restore(state)
