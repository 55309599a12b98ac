from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.stages import stages_of
from ssld.models.zoo import build_network
from ssld.optim.optimizers import OPTIMIZERS, AdamW, Momentum
from ssld.optim.param_groups import apply_lr_multipliers, exempt_from_decay, param_groups

MULTIPLIERS = [0.0, 0.25, 0.5, 2.0]


@pytest.fixture
def network():
    paddle.seed(0)
    return build_network("SmallResNet", 3, width=4)


@pytest.mark.parametrize("make, options", [(Momentum, {}), (AdamW, {"weight_decay": 0.0})])
def test_a_multiplier_scales_the_first_step_of_its_stage_and_leaves_the_classifier(
        network, make, options, fixed_gradients, take_step, weights_of):
    def movement(multipliers):
        paddle.seed(0)
        network = build_network("SmallResNet", 3, width=4)
        if multipliers:
            apply_lr_multipliers(network, multipliers)
        before = weights_of(network)
        take_step(network, make(network, 0.1, **options), fixed_gradients(network))
        return {name: after - before[name] for name, after in weights_of(network).items()}

    plain, scaled = movement(None), movement(MULTIPLIERS)
    parts = stages_of(network)
    for name in plain:
        group = parts.group_of(name)
        factor = 1.0 if group is None else MULTIPLIERS[group]
        # float32 weights of size 1 around a step of 0.1: differences of two of them carry 1e-7
        np.testing.assert_allclose(scaled[name], factor * plain[name], atol=3e-7, err_msg=name)
    assert {parts.group_of(name) for name in plain} == {None, 0, 1, 2, 3}


@pytest.mark.parametrize("make, oracle_name", [(Momentum, "momentum"), (AdamW, "adamw")])
def test_a_multiplier_is_a_learning_rate_of_its_own_over_many_steps_with_decay(
        network, make, oracle_name, oracle, fixed_gradients, take_step, weights_of):
    apply_lr_multipliers(network, MULTIPLIERS)
    start, optimizer = weights_of(network), make(network, 0.05, weight_decay=0.1)
    gradients = [fixed_gradients(network, seed) for seed in range(4)]
    for gradient in gradients:
        take_step(network, optimizer, gradient)
    end, parts = weights_of(network), stages_of(network)
    for name in start:
        group = parts.group_of(name)
        rate = 0.05 * (1.0 if group is None else MULTIPLIERS[group])
        expected = getattr(oracle("optimizers"), oracle_name)(start[name], [g[name] for g in gradients], rate, decay=0.1)[-1]
        np.testing.assert_allclose(end[name], expected, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("make, oracle_name", [(Momentum, "momentum"), (AdamW, "adamw")])
@pytest.mark.parametrize("options, exempt", [
    ({}, lambda name, ndim: False),
    ({"one_dim_param_no_weight_decay": True}, lambda name, ndim: ndim <= 1),
    ({"no_weight_decay_name": "stem stage2.0.conv1"}, lambda name, ndim: name.startswith(("stem", "stage2.0.conv1")))])
def test_exempt_parameters_do_not_decay_and_all_others_do(network, make, oracle_name, options, exempt, oracle,
                                                          fixed_gradients, take_step, weights_of):
    start, optimizer = weights_of(network), make(network, 0.05, weight_decay=0.5, **options)
    gradients = [fixed_gradients(network, seed) for seed in range(3)]
    for gradient in gradients:
        take_step(network, optimizer, gradient)
    for name, end in weights_of(network).items():
        decay = 0.0 if exempt(name, end.ndim) else 0.5
        expected = getattr(oracle("optimizers"), oracle_name)(start[name], [g[name] for g in gradients], 0.05, decay=decay)[-1]
        np.testing.assert_allclose(end, expected, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.names())
def test_a_marked_parameter_never_decays_whatever_the_config_says(network, optimizer):
    network.fc.weight.no_weight_decay = True
    optimizer = OPTIMIZERS.build(optimizer, {"weight_decay": 0.3}, "here", network=network, learning_rate=0.1)
    before = {name: parameter.numpy().copy() for name, parameter in network.named_parameters()}
    sum(parameter.sum() * 0 for parameter in network.parameters()).backward()
    optimizer.step()
    changed = {name for name, parameter in network.named_parameters() if (parameter.numpy() != before[name]).any()}
    assert "fc.weight" not in changed and "stage1.0.conv1.0.weight" in changed


@pytest.mark.parametrize("name, length", [("SmallResNet", 4), ("MobileNetV3_small_x0_35", 5), ("PPLCNet_x0_25", 6)])
def test_a_list_of_the_wrong_length_names_the_backbone_and_the_expected_length(name, length):
    network = build_network(name, 3)
    with pytest.raises(InputError, match=f"lr_mult_list of {stages_of(network).family} takes {length} values.*found 3"):
        apply_lr_multipliers(network, [1, 1, 1])


@pytest.mark.parametrize("values, message", [([1, 1, 1, -0.1], "SmallResNet.*at least 0, not -0.1"),
                                             (0.1, "SmallResNet must be a list of numbers"),
                                             ([1, 1, 1, "x"], "SmallResNet must be a list of numbers")])
def test_values_that_are_no_factors_are_refused(network, values, message):
    with pytest.raises(InputError, match=message):
        apply_lr_multipliers(network, values)


def test_a_backbone_without_known_stages_is_refused_with_its_prefixes():
    with pytest.raises(InputError, match="the stages of AlexNetDY are not known. Its parameters begin with"):
        apply_lr_multipliers(build_network("AlexNet", 3), [1])


@pytest.mark.parametrize("name, idle", [("MobileNetV3_small_x0_35", "value 5 of 5"), ("MobileNetV3_large_x0_35", None)])
def test_a_value_that_acts_on_no_layer_is_said_and_the_others_act(name, idle, capsys):
    network = build_network(name, 3)
    apply_lr_multipliers(network, [0.25, 0.25, 0.5, 0.5, 0.75])
    said = capsys.readouterr().err
    assert (f"lr_mult_list: {idle} acts on nothing, this MobileNetV3 has no layers there" in said) if idle else not said
    groups = {stages_of(network).group_of(parameter) for parameter, _ in network.named_parameters()}
    assert groups == {None, 0, 1, 2, 3} | (set() if idle else {4})
    assert network.blocks[9].linear_conv.conv.weight.optimize_attr["learning_rate"] == 0.5


@pytest.mark.parametrize("name", ["DeiT_tiny_patch16_224", "SReT_LT"])
def test_of_a_transformer_only_matrices_and_filters_decay(name):
    """The gradient is 0, so a step of AdamW leaves 1 - rate x decay of what decays, and all of the rest."""
    network = build_network(name, 3, img_size=32)
    optimizer = AdamW(network=network, learning_rate=0.5, weight_decay=0.1, one_dim_param_no_weight_decay=True,
                      no_weight_decay_name="pos_embed cls_token")
    for parameter in network.parameters():
        parameter.set_value(paddle.ones_like(parameter))
    (network(paddle.ones([2, 3, 32, 32])) * 0).sum().backward()
    optimizer.step()
    left = {n: float(p.numpy().flat[0]) for n, p in network.named_parameters() if not p.stop_gradient}
    decayed = {n for n, share in left.items() if share == pytest.approx(0.95)}
    assert all(share == 1 for n, share in left.items() if n not in decayed)
    kept = {n.rsplit(".", 1)[-1] for n in left if n not in decayed}
    assert {n.rsplit(".", 1)[-1] for n in decayed} == {"weight"}
    assert kept == {"weight", "bias", "pos_embed"} | ({"cls_token"} if "DeiT" in name else {"shortcut", "residual"})
    assert all(len(p.shape) == 1 for n, p in network.named_parameters() if n not in decayed and n.endswith(".weight"))


def test_of_a_swin_transformer_the_position_tables_can_be_left_out_by_name():
    """With them, 1-D parameters and nothing else are free of decay; without the name, the tables decay."""
    network = build_network("SwinTransformer_tiny_patch4_window7_224", 3)
    named = {parameter.name: name for name, parameter in network.named_parameters()}
    for parts, tables_decay in ((["relative_position_bias_table"], False), ([], True)):
        decays = exempt_from_decay(network, parts, one_dimensional=True)
        kept = {name for parameter, name in named.items() if not decays(parameter)}
        tables = {name for name in named.values() if name.endswith("relative_position_bias_table")}
        assert len(tables) == 12 and (not tables & kept) == tables_decay
        assert kept - tables == {name for name, parameter in network.named_parameters() if len(parameter.shape) == 1}


@pytest.fixture
def from_paddleclas():
    """A backbone as a script builds it that knows PaddleClas only."""
    from paddleclas.ppcls.arch import backbone

    def build():
        paddle.seed(0)
        np.random.seed(0)
        return backbone.MobileNetV3_small_x0_35(class_num=3)
    return build


SHARES = [0.0, 0.25, 0.5, 2.0, 0.75]
PADDLES = [(paddle.optimizer.SGD, {}), (paddle.optimizer.Momentum, {}), (paddle.optimizer.AdamW, {"weight_decay": 0.0})]


@pytest.mark.parametrize("make, options", PADDLES, ids=lambda value: getattr(value, "__name__", ""))
def test_parameters_of_a_group_move_by_its_share_in_paddles_own_optimizers(make, options, from_paddleclas, fixed_gradients,
                                                                           take_step, weights_of):
    def movement(grouped):
        network = from_paddleclas()
        before = weights_of(network)
        optimizer = make(0.1, parameters=param_groups(network, SHARES) if grouped else network.parameters(), **options)
        take_step(network, optimizer, fixed_gradients(network))
        return {name: after - before[name] for name, after in weights_of(network).items()}, stages_of(network)

    (scaled, parts), (plain, _) = movement(True), movement(False)
    for name in plain:
        group = parts.group_of(name)
        factor = 1.0 if group is None else SHARES[group]
        np.testing.assert_allclose(scaled[name], factor * plain[name], atol=3e-7, err_msg=name)
    assert {parts.group_of(name) for name in plain} == {None, 0, 1, 2, 3}


@pytest.mark.parametrize("make, oracle_name", [(paddle.optimizer.Momentum, "momentum"), (paddle.optimizer.AdamW, "adamw")])
def test_groups_decay_and_remember_as_with_a_rate_of_their_own(make, oracle_name, network, oracle, fixed_gradients, take_step,
                                                               weights_of):
    optimizer = make(0.05, parameters=param_groups(network, MULTIPLIERS), weight_decay=0.1)
    start, gradients = weights_of(network), [fixed_gradients(network, seed) for seed in range(4)]
    for gradient in gradients:
        take_step(network, optimizer, gradient)
    parts = stages_of(network)
    for name, end in weights_of(network).items():
        group = parts.group_of(name)
        rate = 0.05 * (1.0 if group is None else MULTIPLIERS[group])
        expected = getattr(oracle("optimizers"), oracle_name)(start[name], [g[name] for g in gradients], rate, decay=0.1)[-1]
        np.testing.assert_allclose(end, expected, atol=2e-6, err_msg=name)


def test_a_schedule_and_the_shares_multiply(network, fixed_gradients, take_step, weights_of):
    schedule = paddle.optimizer.lr.PiecewiseDecay([1], [0.1, 0.01])
    optimizer = paddle.optimizer.SGD(schedule, parameters=param_groups(network, MULTIPLIERS))
    gradients, parts = fixed_gradients(network), stages_of(network)
    for rate in (0.1, 0.01):
        before = weights_of(network)
        take_step(network, optimizer, gradients)
        for name, after in weights_of(network).items():
            group = parts.group_of(name)
            factor = 1.0 if group is None else MULTIPLIERS[group]
            np.testing.assert_allclose(after - before[name], -rate * factor * gradients[name], atol=3e-7, err_msg=name)
        schedule.step()


@pytest.mark.parametrize("name", ["SmallResNet", "PPLCNet_x0_25", "MobileNetV3_small_x0_35", "DeiT_tiny_patch16_224"])
def test_every_trainable_parameter_is_in_one_group(name):
    network = build_network(name, 3)
    network.parameters()[0].stop_gradient = True
    groups = param_groups(network, [0.5] * len(stages_of(network).groups))
    grouped = [parameter.name for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(p.name for p in network.parameters() if not p.stop_gradient)
    assert all(group["params"] for group in groups) and groups[-1]["learning_rate"] == 1.0
    assert {each["learning_rate"] for each in groups[:-1]} == {0.5}


@pytest.mark.parametrize("values, message", [([1, 1, 1], "SmallResNet takes 4 values.*found 3"),
                                             ([1, 1, 1, -0.1], "at least 0, not"), ("0.1", "must be a list of numbers")])
def test_groups_of_values_that_are_no_factors_are_refused(network, values, message):
    with pytest.raises(InputError, match=message):
        param_groups(network, values)


def test_groups_of_a_network_without_known_stages_are_refused_with_its_prefixes():
    with pytest.raises(InputError, match="the stages of LeNet are not known. Its parameters begin with: fc, features"):
        param_groups(paddle.vision.models.LeNet(), [1])
