"""DFM: a feature of the student against the teacher's, as it is and without its constant part."""
from __future__ import annotations

import paddle
from paddle import Tensor

from .cross_attention import at_least_float32

_LEAST_NORM = 1e-12


def direct_distance(made: Tensor, target: Tensor) -> Tensor:
    """D: squared distance of unit vectors, summed over positions, mean over images; in [0, 4 P].

    Args:
        made: [B, P, C], of the student.
        target: [B, P, C], of the teacher; gets no gradient.

    Returns:
        float32 scalar.

    Source: Fan et al., arXiv:2411.06786, section 3.3, and its released code, which sums over positions.
    """
    with paddle.amp.auto_cast(enable=False):
        made, target = _unit(at_least_float32(made)), _unit(at_least_float32(target.detach()))
        return (made - target).square().sum() / made.shape[0]


def alternative_distance(made: Tensor, target: Tensor) -> Tensor:
    """D of what is left of both sides without their mean over the positions; see `direct_distance`.

    The paper takes a discrete cosine transform of each channel, sets its constant coefficient to zero and transforms back,
    which is the same.
    """
    return direct_distance(without_mean(at_least_float32(made)), without_mean(at_least_float32(target)))


def without_mean(tokens: Tensor) -> Tensor:
    """Each channel less its mean over the positions: [B, P, C] -> [B, P, C]."""
    return tokens - tokens.mean(1, keepdim=True)


def _unit(tokens: Tensor) -> Tensor:
    """Vectors of length 1 over the channels."""
    return tokens / tokens.square().sum(-1, keepdim=True).clip(min=_LEAST_NORM ** 2).sqrt()
