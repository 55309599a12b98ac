"""Layer norms that stand still and still pass the right gradient on.

For Paddle's developers: in Paddle 3.3.1 on CPU, float32 and float64, `F.layer_norm(x, shape, weight, bias)` whose weight has
stop_gradient=True gives the right output, but its backward pass computes dx as if the weight were all ones; as soon as the
weight takes a gradient, dx is right. Nothing is said. Linear layers, convolutions, batch norm in evaluation mode, group and
instance norm do not have this fault. To reproduce:

    norm = paddle.nn.LayerNorm(8)
    norm.weight.set_value(paddle.linspace(0.5, 1.5, 8))
    x = paddle.randn([4, 8])
    for frozen in (False, True):
        norm.weight.stop_gradient = frozen
        y = x.clone()
        y.stop_gradient = False
        norm(y).square().sum().backward()
        print(y.grad)                       # differs, though neither x nor the weight has changed
"""
from __future__ import annotations

from paddle import Tensor, nn
from paddle.nn import functional as F


class FrozenLayerNorm(nn.LayerNorm):
    """A layer norm whose weight takes no gradient: its scale and shift are applied behind the kernel, not within it."""

    def forward(self, input: Tensor) -> Tensor:
        """The same values as nn.LayerNorm; where no gradient is wanted, to the bit."""
        if input.stop_gradient:
            return F.layer_norm(input, self._normalized_shape, self.weight, self.bias, self._epsilon)
        normalised = F.layer_norm(input, self._normalized_shape, None, None, self._epsilon) * self.weight
        return normalised if self.bias is None else normalised + self.bias


def differentiable(network: nn.Layer) -> nn.Layer:
    """Make a (partly) frozen network safe to differentiate through, in place; see above for what would go wrong.

    The layers stay the same objects with the same names, so hooks, state dicts and other owners of them notice nothing; only
    their class changes. To be called after the weights were frozen.

    Args:
        network: layers of it may be shared with other networks.

    Returns:
        The same network.
    """
    for layer in network.sublayers(include_self=True):
        if type(layer) is nn.LayerNorm and layer.weight is not None and layer.weight.stop_gradient:
            layer.__class__ = FrozenLayerNorm
    return network
