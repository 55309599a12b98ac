"""Learning-rate multipliers and weight decay by parameter, on any network after it is built."""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import paddle
from paddle import nn

from ..checks import not_negative, numbers
from ..errors import InputError
from ..models.stages import Stages, stages_of


def apply_lr_multipliers(network: nn.Layer, lr_mult_list: Sequence[float]) -> None:
    """Give each stage of a backbone its own share of the learning rate; head and classifier keep 1.

    Batch-norm scale and shift follow their stage. The multipliers act in any Paddle optimizer. A list is one of a family:
    where a small member has no layers for the last of its values, as MobileNetV3_small has blocks for four of five, stderr
    says so.

    Args:
        network: a backbone with a row in `ssld.models.stages`.
        lr_mult_list: one factor >= 0 per stage, input side first; ResNet: stem and four stages.

    Raises:
        InputError: wrong length or a negative factor, naming the backbone and the expected length.
    """
    stages = _checked(network, lr_mult_list)
    for name, parameter in network.named_parameters():
        group = stages.group_of(name)
        if group is not None:
            parameter.optimize_attr["learning_rate"] = float(lr_mult_list[group])


def param_groups(network: nn.Layer, multipliers: Sequence[float]) -> list[dict]:
    """The trainable parameters of any PaddleClas backbone in groups with their shares of the learning rate.

        optimizer = paddle.optimizer.Momentum(0.01, parameters=param_groups(network, [0.1, 0.1, 0.2, 0.2, 0.3]))

    Every trainable parameter is in one group; head and classifier have the share 1. A group may get other options of Paddle's,
    such as "weight_decay", before it is handed over.

    Args:
        network: a backbone with a row in `ssld.models.stages`, built by this package or by PaddleClas.
        multipliers: one factor >= 0 per stage, input side first; see `apply_lr_multipliers`.

    Returns:
        {"params": [...], "learning_rate": factor} of each stage, then of the rest; parts without parameters are left out.

    Raises:
        InputError: wrong length, a negative factor, or a backbone without a row, naming the beginnings of its parameter names.
    """
    stages = _checked(network, multipliers)
    groups = [{"params": [], "learning_rate": float(share)} for share in (*multipliers, 1.0)]
    for name, parameter in network.named_parameters():
        if not parameter.stop_gradient:
            place = stages.group_of(name)
            groups[-1 if place is None else place]["params"].append(parameter)
    return [group for group in groups if group["params"]]


def exempt_from_decay(network: nn.Layer, name_parts: Sequence[str], one_dimensional: bool) -> Callable[[str], bool]:
    """Take parameters out of weight decay.

    A parameter with an attribute `no_weight_decay` that is true never decays, whatever a config says: its layer sets the mark
    where decay would break what the parameter stands for.

    Args:
        network: whose parameters are meant.
        name_parts: parameters whose name contains one of these are exempt.
        one_dimensional: biases and normalisation parameters are exempt as well.

    Returns:
        Whether the parameter of a given Paddle name decays; AdamW wants it so. For coupled L2 the exempt parameters
        are marked with a coefficient of 0 of their own, which wins over the optimizer's.
    """
    exempt = {parameter.name: parameter for name, parameter in network.named_parameters()
              if any(part in name for part in name_parts) or (one_dimensional and len(parameter.shape) <= 1)
              or getattr(parameter, "no_weight_decay", False)}
    for parameter in exempt.values():
        parameter.regularizer = paddle.regularizer.L2Decay(0.0)
    return lambda name: name not in exempt


def _checked(network: nn.Layer, multipliers: Sequence[float]) -> Stages:
    """The stages of a network, of which each has its multiplier."""
    stages = stages_of(network)
    if len(numbers(f"lr_mult_list of {stages.family}", multipliers)) != len(stages.groups):
        raise InputError(f"lr_mult_list of {stages.family} takes {len(stages.groups)} values (one per stage, input side "
                         f"first), found {len(multipliers)}: {list(multipliers)}.")
    for value in multipliers:
        not_negative(f"each value of lr_mult_list ({stages.family}, {len(stages.groups)} values)", value)
    idle = [place for place, prefixes in enumerate(stages.groups, 1) if not prefixes]
    if idle:
        print(f"warning: lr_mult_list: value {', '.join(map(str, idle))} of {len(stages.groups)} acts on nothing, this "
              f"{stages.family} has no layers there", file=sys.stderr)
    return stages
