"""The linear layer of methods that bring their own."""
from __future__ import annotations

from paddle import ParamAttr, nn


def linear(before: int, after: int) -> nn.Linear:
    """A linear layer whose weights and biases begin uniform within 1 / sqrt(before), as those of the published methods do;
    Paddle's own begin larger, with biases of 0."""
    begin = ParamAttr(initializer=nn.initializer.Uniform(-before ** -0.5, before ** -0.5))
    return nn.Linear(before, after, begin, begin)
