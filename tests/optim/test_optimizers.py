from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.freeze import Frozen
from ssld.models.zoo import build_network
from ssld.optim.optimizers import OPTIMIZERS, SGD, AdamW, Lamb, Momentum, optimizer_state, restore_optimizer


@pytest.fixture
def network():
    paddle.seed(0)
    return build_network("SmallResNet", 3, width=4)


@pytest.fixture
def follow(fixed_gradients, take_step, weights_of):
    """Start and end weights of several steps, and the gradients of each."""
    def run(network, optimizer, steps: int = 5):
        start, gradients = weights_of(network), [fixed_gradients(network, seed) for seed in range(steps)]
        for gradient in gradients:
            take_step(network, optimizer, gradient)
        return start, gradients, weights_of(network)
    return run


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", [{}, {"regularizer": {"name": "L2", "coeff": 0.1}}, {"weight_decay": 0.1}])
def test_momentum_equals_its_formula_over_several_steps(network, follow, oracle, nesterov, decay):
    start, gradients, end = follow(network, Momentum(network, 0.05, momentum=0.8, use_nesterov=nesterov, **decay))
    for name in start:
        expected = oracle("optimizers").momentum(start[name], [g[name] for g in gradients], 0.05, 0.8, 0.1 if decay else 0.0,
                                                 nesterov)[-1]
        np.testing.assert_allclose(end[name], expected, atol=3e-6, err_msg=name)


def test_sgd_is_momentum_without_memory(network, follow, oracle):
    start, gradients, end = follow(network, SGD(network, 0.05, weight_decay=0.1))
    for name in start:
        expected = oracle("optimizers").momentum(start[name], [g[name] for g in gradients], 0.05, 0.0, 0.1)[-1]
        np.testing.assert_allclose(end[name], expected, atol=3e-6, err_msg=name)


def test_adamw_equals_its_formula_over_several_steps(network, follow, oracle):
    start, gradients, end = follow(network, AdamW(network, 0.01, beta1=0.8, beta2=0.95, weight_decay=0.3))
    for name in start:
        expected = oracle("optimizers").adamw(start[name], [g[name] for g in gradients], 0.01, 0.3, 0.8, 0.95)[-1]
        np.testing.assert_allclose(end[name], expected, atol=3e-6, err_msg=name)


@pytest.mark.parametrize("clip", [1.0, 5.0])
def test_adamw_sees_the_clipped_gradients(network, fixed_gradients, take_step, weights_of, oracle, clip):
    """All gradients together have norms from about 2 to 8, so a clip of 5 acts on some steps only."""
    start, optimizer = weights_of(network), AdamW(network, 0.01, weight_decay=0.3, clip_norm=clip, epsilon=1e-2)
    gradients = [{name: 0.03 * (step + 1) * value for name, value in fixed_gradients(network, step).items()}
                 for step in range(4)]
    norms = [np.sqrt(sum((g ** 2).sum() for g in gradient.values())) for gradient in gradients]
    assert min(norms) < 5 < max(norms)
    for gradient in gradients:
        take_step(network, optimizer, gradient)
    for name, weight in weights_of(network).items():
        seen = [gradient[name] * min(1, clip / norm) for gradient, norm in zip(gradients, norms)]
        expected = oracle("optimizers").adamw(start[name], seen, 0.01, 0.3, epsilon=1e-2)[-1]
        np.testing.assert_allclose(weight, expected, atol=3e-6, err_msg=name)


@pytest.mark.parametrize("options", [{}, {"no_weight_decay_name": "stage2 fc", "beta1": 0.8, "epsilon": 1e-3},
                                     {"weight_decay": 0.3, "one_dim_param_no_weight_decay": False, "clip_norm": 40.0}])
def test_lamb_equals_its_formula_over_ten_steps(network, fixed_gradients, take_step, weights_of, oracle, options):
    """The gradients' global norms run from about 8 to 80; one tensor is 0 at the start, where it has no ratio either."""
    network.fc.weight.set_value(paddle.zeros_like(network.fc.weight))
    start, optimizer = weights_of(network), Lamb(network, 0.02, **options)
    gradients = [{name: (step + 1) / 10 * value for name, value in fixed_gradients(network, step).items()}
                 for step in range(10)]
    for gradient in gradients:
        take_step(network, optimizer, gradient)
    one_dim, parts = options.get("one_dim_param_no_weight_decay", True), options.get("no_weight_decay_name", "").split()
    exempt = {name for name, weight in start.items() if (one_dim and weight.ndim <= 1) or any(part in name for part in parts)}
    settings = {"beta1": options.get("beta1", 0.9), "epsilon": options.get("epsilon", 1e-6),
                "clip": options.get("clip_norm", 1.0)}
    expected = oracle("optimizers").lamb(start, gradients, 0.02, options.get("weight_decay", 0.01), exempt, **settings)
    for name, weight in weights_of(network).items():
        np.testing.assert_allclose(weight, expected[name][-1], atol=1e-5 * np.abs(expected[name][-1]).max(), err_msg=name)


def test_clip_norm_bounds_the_norm_of_all_gradients_together(network, follow):
    start, gradients, end = follow(network, SGD(network, 1.0, clip_norm=0.5), steps=1)
    norm = np.sqrt(sum((g ** 2).sum() for g in gradients[0].values()))
    for name in start:
        np.testing.assert_allclose(start[name] - end[name], gradients[0][name] * 0.5 / norm, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("make, options", [(Momentum, {"use_nesterov": True}), (AdamW, {}), (Lamb, {})])
@pytest.mark.parametrize("backbone", ["SmallResNet", "MobileNetV2_x0_25"])
def test_a_restored_optimizer_goes_on_as_if_nothing_had_happened(make, options, backbone, follow, weights_of,
                                                                 fixed_gradients, take_step):
    def new():
        paddle.seed(0)
        network = build_network(backbone, 3)
        return network, make(network, 0.01, weight_decay=0.1, **options)

    first, optimizer = new()
    follow(first, optimizer, 3)
    state = {name: value.copy() for name, value in optimizer_state(optimizer, first).items()}
    assert all(name.rsplit("/", 1)[0] in weights_of(first) for name in state)
    second, fresh = new()
    second.set_state_dict(first.state_dict())
    restore_optimizer(fresh, second, state)
    for seed in (7, 8):
        for network, its_optimizer in ((first, optimizer), (second, fresh)):
            take_step(network, its_optimizer, fixed_gradients(network, seed))
    for name, value in weights_of(first).items():
        np.testing.assert_array_equal(weights_of(second)[name], value, err_msg=name)


def test_without_restoring_the_next_steps_differ(follow, weights_of):
    first, second = (build_network("SmallResNet", 3) for _ in range(2))
    optimizer = Momentum(first, 0.01)
    follow(first, optimizer, 3)
    second.set_state_dict(first.state_dict())
    follow(first, optimizer, 1)
    follow(second, Momentum(second, 0.01), 1)
    assert any((weights_of(first)[name] != value).any() for name, value in weights_of(second).items())


def test_frozen_parameters_are_not_optimized_and_freezing_all_is_refused(network):
    Frozen(network, ["fc"])
    assert {parameter.shape[-1] for parameter in Momentum(network, 0.1)._parameter_list} == {3}
    for parameter in network.parameters():
        parameter.stop_gradient = True
    with pytest.raises(InputError, match="no parameter is left to train"):
        Momentum(network, 0.1)


@pytest.mark.parametrize("options, message", [
    ({"regularizer": {"name": "L1", "coeff": 1}}, "regularizer.name must be L2"),
    ({"regularizer": {"name": "L2", "coef": 1}}, "regularizer has no option 'coef'. Did you mean 'coeff'"),
    ({"regularizer": {"name": "L2", "coeff": -1}}, "regularizer.coeff must be a number of at least 0"),
    ({"regularizer": {"name": "L2", "coeff": 1}, "weight_decay": 1}, "either regularizer or weight_decay"),
    ({"weight_decay": -1}, "weight_decay must be a number of at least 0"),
    ({"learning_rate": 1}, "has no option 'learning_rate'"),
    ({"momentum": 1.0}, r"momentum must lie in \[0, 1\), not 1.0"),
    ({"momentum": "0.9"}, "momentum must be a number, not '0.9'"),
    ({"clip_norm": 0}, "clip_norm must be a number above 0"),
    ({"clip_norm": "x"}, "clip_norm must be a number or null, not 'x'"),
    ({"no_weight_decay_name": ["bn"]}, r"no_weight_decay_name must be a text, not \['bn'\]")])
def test_wrong_options_are_refused_with_the_place(network, options, message):
    with pytest.raises(InputError, match=f"^here.Momentum.*{message}"):
        OPTIMIZERS.build("Momentum", options, "here", network=network, learning_rate=0.1)


@pytest.mark.parametrize("options, message", [({"beta1": 1}, r"beta1 must lie in \[0, 1\)"),
                                              ({"beta2": 2.0}, r"beta2 must lie in \[0, 1\)"),
                                              ({"epsilon": 0}, "epsilon must be a number above 0"),
                                              ({"weight_decay": None}, "weight_decay must be a number, not None")])
def test_wrong_options_of_adamw_are_refused(network, options, message):
    with pytest.raises(InputError, match=f"^here.AdamW.*{message}"):
        OPTIMIZERS.build("AdamW", options, "here", network=network, learning_rate=0.1)


@pytest.mark.parametrize("options, message", [({"beta1": 1}, r"beta1 must lie in \[0, 1\)"),
                                              ({"epsilon": 0.0}, "epsilon must be a number above 0"),
                                              ({"clip_norm": 0}, "clip_norm must be a number above 0"),
                                              ({"weight_decay": -1}, "weight_decay must be a number of at least 0")])
def test_wrong_options_of_lamb_are_refused(network, options, message):
    with pytest.raises(InputError, match=f"^here.Lamb.*{message}"):
        OPTIMIZERS.build("Lamb", options, "here", network=network, learning_rate=0.1)


class LowPrecision:
    """An optimizer whose state has the shape of Paddle's for low-precision parameters, which the CPU cannot step."""

    def __init__(self, network, seed: int):
        rng, self.tensors, masters = np.random.default_rng(seed), {}, {}
        for parameter in network.parameters():
            master = paddle.to_tensor(rng.normal(size=parameter.shape).astype(np.float32))
            master.name = f"{parameter.name}_fp32_master_0"
            masters[parameter.name] = master
            self.tensors[f"{master.name}_velocity_0"] = paddle.to_tensor(rng.normal(size=parameter.shape).astype(np.float32))
        self.tensors["master_weights"] = masters
        self.tensors["LR_Scheduler"] = {"last_epoch": 3}

    def state_dict(self):
        return dict(self.tensors)

    def set_state_dict(self, tensors):
        self.tensors = tensors


def test_master_weights_come_back_under_the_names_that_paddle_looks_for():
    first, second = (build_network("SmallResNet", 3, width=4) for _ in range(2))      # other names in Paddle's count
    saved, restored = LowPrecision(first, 1), LowPrecision(second, 2)
    state = optimizer_state(saved, first)
    assert all(isinstance(value, np.ndarray) for value in state.values())
    assert len(state) == 2 * len(first.parameters())
    restore_optimizer(restored, second, state)
    expected = saved.state_dict()
    for mine, theirs in zip(second.parameters(), first.parameters()):
        master = restored.tensors["master_weights"][mine.name]
        assert master.name == f"{mine.name}_fp32_master_0" and master.dtype == paddle.float32
        np.testing.assert_array_equal(master.numpy(), expected["master_weights"][theirs.name].numpy())
        np.testing.assert_array_equal(restored.tensors[f"{master.name}_velocity_0"].numpy(),
                                      expected[f"{theirs.name}_fp32_master_0_velocity_0"].numpy())


def test_paddles_optimizer_takes_restored_master_weights_over(network):
    optimizer = Momentum(network, 0.1, multi_precision=True)
    state = optimizer_state(LowPrecision(network, 1), network)
    restore_optimizer(optimizer, network, state)
    assert {tensor.name for tensor in optimizer._master_weights.values()} == {
        f"{parameter.name}_fp32_master_0" for parameter in network.parameters()}
    again = {name: value for name, value in optimizer_state(optimizer, network).items() if name.startswith("master_weights/")}
    assert again.keys() == {name for name in state if name.startswith("master_weights/")}
    for name, value in again.items():
        np.testing.assert_array_equal(value, state[name])


def test_without_master_weights_none_are_saved_or_restored(network, follow):
    optimizer = Momentum(network, 0.1, multi_precision=True)                 # float32 parameters need none
    follow(network, optimizer, 1)
    assert not [name for name in optimizer_state(optimizer, network) if name.startswith("master_weights")]
