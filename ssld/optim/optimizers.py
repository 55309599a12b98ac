"""Optimizers under PaddleClas's names and keys."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
from paddle import nn

from ..checks import below_one, not_negative, positive
from ..errors import InputError
from ..registry import Registry, check_arguments
from .param_groups import exempt_from_decay

OPTIMIZERS = Registry("optimizer")
REMEMBERED = {"SGD": 0, "Momentum": 1, "AdamW": 2, "Lamb": 2}      # tensors that an optimizer keeps of each parameter
_MASTERS = "master_weights"     # Paddle's entry in an optimizer's state


@OPTIMIZERS.register
def SGD(network: nn.Layer, learning_rate: float, regularizer: Mapping | None = None, weight_decay: float | None = None,
        no_weight_decay_name: str = "", one_dim_param_no_weight_decay: bool = False,
        clip_norm: float | None = None) -> paddle.optimizer.Optimizer:
    """Stochastic gradient descent with coupled L2; see Momentum for the keys."""
    exempt_from_decay(network, no_weight_decay_name.split(), one_dim_param_no_weight_decay)
    return paddle.optimizer.SGD(learning_rate, trainable(network), weight_decay=_l2(regularizer, weight_decay),
                                grad_clip=_clip(clip_norm))


@OPTIMIZERS.register
def Momentum(network: nn.Layer, learning_rate: float, momentum: float = 0.9, use_nesterov: bool = False,
             regularizer: Mapping | None = None, weight_decay: float | None = None, no_weight_decay_name: str = "",
             one_dim_param_no_weight_decay: bool = False, clip_norm: float | None = None,
             multi_precision: bool = False) -> paddle.optimizer.Optimizer:
    """Gradient descent with momentum and coupled L2.

    Args:
        network: its trainable parameters are optimized.
        learning_rate: set anew at each step by the schedule.
        momentum: in [0, 1).
        use_nesterov: Nesterov's form.
        regularizer: {name: L2, coeff: ...}; coeff times the weight is added to its gradient.
        weight_decay: the same coefficient as a plain number; giving both is an error.
        no_weight_decay_name: space-separated parts of parameter names that do not decay.
        one_dim_param_no_weight_decay: biases and normalisation parameters do not decay.
        clip_norm: largest global norm of the gradient.
        multi_precision: float32 master weights for float16 parameters.
    """
    exempt_from_decay(network, no_weight_decay_name.split(), one_dim_param_no_weight_decay)
    return paddle.optimizer.Momentum(learning_rate, below_one("momentum", momentum), trainable(network), use_nesterov,
                                     weight_decay=_l2(regularizer, weight_decay), grad_clip=_clip(clip_norm),
                                     multi_precision=multi_precision)


@OPTIMIZERS.register
def AdamW(network: nn.Layer, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8,
          weight_decay: float = 0.01, no_weight_decay_name: str = "", one_dim_param_no_weight_decay: bool = False,
          clip_norm: float | None = None, multi_precision: bool = False) -> paddle.optimizer.Optimizer:
    """Adam with decoupled weight decay (arXiv:1711.05101); see Momentum for the keys."""
    decays = exempt_from_decay(network, no_weight_decay_name.split(), one_dim_param_no_weight_decay)
    return paddle.optimizer.AdamW(learning_rate, below_one("beta1", beta1), below_one("beta2", beta2),
                                  positive("epsilon", epsilon), trainable(network),
                                  weight_decay=not_negative("weight_decay", weight_decay),
                                  apply_decay_param_fun=decays, grad_clip=_clip(clip_norm),
                                  multi_precision=multi_precision)


@OPTIMIZERS.register
def Lamb(network: nn.Layer, learning_rate: float, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6,
         weight_decay: float = 0.01, no_weight_decay_name: str = "", one_dim_param_no_weight_decay: bool = True,
         clip_norm: float | None = 1.0, multi_precision: bool = False) -> paddle.optimizer.Optimizer:
    """LAMB: Adam's step r of each tensor, made as long as the tensor itself (trust ratio).

        r = m_hat / (sqrt(v_hat) + epsilon) + weight_decay * w,    w -= learning_rate * |w| / |r| * r

    The ratio is 1 where |w| or |r| is 0. Tensors that do not decay have no ratio either: w -= learning_rate * r. Before all
    this the gradient is clipped to `clip_norm`, as in NVIDIA's version, whose recipes the defaults serve.

    Args:
        weight_decay: of everything but the exempt parameters.
        no_weight_decay_name: space-separated parts of parameter names without decay and ratio.
        one_dim_param_no_weight_decay: biases and normalisation parameters have neither decay nor ratio.
        clip_norm: largest global norm of the gradient; null: as long as it is.
        others: see Momentum.

    Source: You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", arXiv:1904.00962,
    algorithm 2.
    """
    decays = exempt_from_decay(network, no_weight_decay_name.split(), one_dim_param_no_weight_decay)
    return paddle.optimizer.Lamb(learning_rate, not_negative("weight_decay", weight_decay), below_one("beta1", beta1),
                                 below_one("beta2", beta2), positive("epsilon", epsilon), trainable(network),
                                 grad_clip=_clip(clip_norm), multi_precision=multi_precision,
                                 exclude_from_weight_decay_fn=lambda parameter: not decays(parameter.name))


def trainable(network: nn.Layer) -> list:
    """The parameters that have a gradient.

    Raises:
        InputError: there is none.
    """
    parameters = [parameter for parameter in network.parameters() if not parameter.stop_gradient]
    if not parameters:
        raise InputError("no parameter is left to train: `trainable` or `lr_mult_list` freezes all of them.")
    return parameters


def optimizer_state(optimizer, network: nn.Layer) -> dict[str, np.ndarray]:
    """What an optimizer remembers as arrays, by the names of `network`.

    "parameter name/accumulator" are its accumulators, "master_weights/parameter name/..." the float32 weights that it
    keeps of low-precision parameters. Paddle names both after a counter that differs from process to process; these
    names do not.
    """
    by_length = sorted(((parameter.name, name) for name, parameter in network.named_parameters()),
                       key=lambda pair: -len(pair[0]))
    tensors = optimizer.state_dict()
    masters = {tensor.name: tensor for tensor in tensors.get(_MASTERS, {}).values()}
    state = {}
    for prefix, group in (("", tensors), (f"{_MASTERS}/", masters)):
        for key, value in group.items():
            name = next((pair for pair in by_length if key.startswith(f"{pair[0]}_")), None)
            if isinstance(value, paddle.Tensor) and name:       # the longest first: "w_1" is the beginning of "w_10"
                state[f"{prefix}{name[1]}/{key[len(name[0]) + 1:]}"] = value.numpy()
    return state


def restore_optimizer(optimizer, network: nn.Layer, state: Mapping[str, np.ndarray]) -> None:
    """Give an optimizer what `optimizer_state` returned."""
    names = {name: parameter.name for name, parameter in network.named_parameters()}
    restored: dict = {}
    masters: dict = {}
    for key, value in state.items():
        name, ending = key.rsplit("/", 1)
        tensor, is_master = paddle.to_tensor(value), name.startswith(f"{_MASTERS}/")
        parameter = names[name[len(_MASTERS) + 1:] if is_master else name]
        if is_master:                               # accumulators are found by the name of the master weight
            tensor.name = f"{parameter}_{ending}"
            masters[parameter] = tensor
        else:
            restored[f"{parameter}_{ending}"] = tensor
    optimizer.set_state_dict({**restored, **({_MASTERS: masters} if masters else {})})


def _l2(regularizer: Mapping | None, weight_decay: float | None):
    """Paddle's L2 regulariser from either of PaddleClas's two spellings."""
    if regularizer is not None and weight_decay is not None:
        raise InputError("give either regularizer or weight_decay, not both.")
    if regularizer is None:
        return None if weight_decay is None else paddle.regularizer.L2Decay(not_negative("weight_decay", weight_decay))
    check_arguments(_regularizer, regularizer, "regularizer")
    return _regularizer(**regularizer)


def _regularizer(name: str, coeff: float):
    if name != "L2":
        raise InputError(f"regularizer.name must be L2, not {name!r}.")
    return paddle.regularizer.L2Decay(float(not_negative("regularizer.coeff", coeff)))


def _clip(clip_norm: float | None):
    return None if clip_norm is None else nn.ClipGradByGlobalNorm(positive("clip_norm", clip_norm))
