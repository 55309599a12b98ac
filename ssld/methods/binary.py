"""The binary decision of each class, a loss that several methods share."""
from __future__ import annotations

from paddle import Tensor
from paddle.nn import functional as F


def binary_cross_entropies(logits: Tensor, target: Tensor) -> Tensor:
    """- (y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))) of each logit z, float32 of the same shape.

    Paddle's binary_cross_entropy_with_logits has a wrong gradient at z = 0 (3.3.1: off by 1), where a classifier may well
    begin; two softplus have the right one, sigmoid(z) - y, everywhere.

    Args:
        logits: of any shape and type; computed in float32.
        target: y of the same shape, in [0, 1].
    """
    z = logits.astype("float32")
    return target * F.softplus(-z) + (1 - target) * F.softplus(z)


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The mean of `binary_cross_entropies` over all logits, a scalar."""
    return binary_cross_entropies(logits, target).mean()
