"""The blocks that mobile networks are made of."""
from __future__ import annotations

import math
from collections.abc import Callable

from paddle import nn
from paddle.nn import functional as F


def conv_bn(before: int, after: int, kernel: int, stride: int = 1, groups: int = 1, activation: type | None = None,
            padding: int | str | None = None, epsilon: float = 1e-5) -> nn.Sequential:
    """Convolution without bias, batch norm and, if given, an activation.

    Weights are drawn from a normal distribution of variance 2 / (kernel^2 after / groups), Kaiming's rule for the number of
    outputs, as EfficientNet's and MnasNet's authors do.

    Args:
        before, after: channels.
        kernel, stride: pixels.
        groups: of channels.
        activation: class of a layer without arguments.
        padding: pixels, or "SAME" for TensorFlow's rule (of an odd sum of pixels the larger part is at right and below); by
            default kernel // 2.
        epsilon: of the batch norm.
    """
    spread = math.sqrt(2 / (kernel ** 2 * after / groups))
    convolution = nn.Conv2D(before, after, kernel, stride, kernel // 2 if padding is None else padding, groups=groups,
                            bias_attr=False, weight_attr=nn.initializer.Normal(0.0, spread))
    return nn.Sequential(convolution, nn.BatchNorm2D(after, epsilon=epsilon), *([activation()] if activation else []))


class InvertedResidual(nn.Layer):
    """Pointwise expansion, depthwise convolution, pointwise projection, and a shortcut where the shape stays.

    Args:
        before, after: channels.
        kernel, stride: of the depthwise convolution, pixels.
        expansion: channels in between, in multiples of `before`.
        activation: class of a layer without arguments.
        layer: makes the convolutions, as `conv_bn` does.
        squeeze: channels of the squeeze-and-excitation after the depthwise convolution; 0 for none.

    Source: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv:1801.04381, section 3.
    """

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int, activation: type,
                 layer: Callable[..., nn.Layer] = conv_bn, squeeze: int = 0):
        super().__init__()
        wide = before * expansion
        self.expand = layer(before, wide, 1, activation=activation)
        self.depthwise = layer(wide, wide, kernel, stride, groups=wide, activation=activation)
        self.excite = SqueezeExcitation(wide, squeeze, activation) if squeeze else nn.Identity()
        self.project = layer(wide, after, 1)
        self.has_shortcut = stride == 1 and before == after

    def forward(self, x):
        """float32 [B, before, H, W] -> [B, after, H / stride, W / stride]."""
        y = self.project(self.excite(self.depthwise(self.expand(x))))
        return x + y if self.has_shortcut else y


class SqueezeExcitation(nn.Layer):
    """Each channel times a number in (0, 1) that depends on the means of all channels.

    Args:
        width: channels.
        squeeze: channels of the layer in between.
        activation: class of a layer without arguments.

    Source: Hu et al., "Squeeze-and-Excitation Networks", arXiv:1709.01507, section 3.
    """

    def __init__(self, width: int, squeeze: int, activation: type):
        super().__init__()
        self.reduce = _pointwise(width, squeeze)
        self.activation = activation()
        self.expand = _pointwise(squeeze, width)

    def forward(self, x):
        """float32 [B, width, H, W] -> the same shape."""
        gate = self.expand(self.activation(self.reduce(F.adaptive_avg_pool2d(x, 1))))
        return x * F.sigmoid(gate)


def mobile_classifier(width: int, class_num: int) -> nn.Linear:
    """The last linear layer: weights uniform within 1 / sqrt(class_num) of 0, biases 0, as EfficientNet's authors do."""
    bound = 1 / math.sqrt(class_num)
    return nn.Linear(width, class_num, weight_attr=nn.initializer.Uniform(-bound, bound),
                     bias_attr=nn.initializer.Constant(0.0))


def _pointwise(before: int, after: int) -> nn.Conv2D:
    return nn.Conv2D(before, after, 1, weight_attr=nn.initializer.Normal(0.0, math.sqrt(2 / after)),
                     bias_attr=nn.initializer.Constant(0.0))
