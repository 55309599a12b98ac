"""EfficientNetV2-B0, the smallest network of its family."""
from __future__ import annotations

import functools

from paddle import nn
from paddle.nn import functional as F

from .inverted_residual import InvertedResidual, conv_bn, mobile_classifier

_same_conv_bn = functools.partial(conv_bn, padding="SAME", epsilon=1e-3)         # as in TensorFlow
_STEM, _HEAD = 32, 1280


class EfficientNetV2B0(nn.Layer):
    """EfficientNetV2-B0: one plain, four fused and 16 inverted residuals with SiLU; 7.1 million weights.

    Padding, and the 1e-3 in batch norm, are those of the TensorFlow original. For initial values see `conv_bn` and
    `mobile_classifier`. No dropout and no stochastic depth.

    Args:
        class_num: classes.

    Source: Tan and Le, "EfficientNetV2: Smaller Models and Faster Training", arXiv:2104.00298, section 3.3 and the
    configuration B0 of the released code.
    """

    def __init__(self, class_num: int):
        super().__init__()
        self.stem = _same_conv_bn(3, _STEM, 3, 2, activation=nn.Silu)
        self.stage1 = _same_conv_bn(_STEM, 16, 3, activation=nn.Silu)
        self.stage2 = _stage(_FusedInvertedResidual, 16, 32, 2, 2, 4)
        self.stage3 = _stage(_FusedInvertedResidual, 32, 48, 2, 2, 4)
        self.stage4 = _stage(_inverted_residual, 48, 96, 3, 2, 4)
        self.stage5 = _stage(_inverted_residual, 96, 112, 5, 1, 6)
        self.stage6 = _stage(_inverted_residual, 112, 192, 8, 2, 6)
        self.head = _same_conv_bn(192, _HEAD, 1, activation=nn.Silu)
        self.fc = mobile_classifier(_HEAD, class_num)

    def forward(self, image):
        """float32 [B, 3, H, W] -> logits [B, class_num]."""
        x = self.stage3(self.stage2(self.stage1(self.stem(image))))
        x = self.head(self.stage6(self.stage5(self.stage4(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class _FusedInvertedResidual(nn.Layer):
    """An inverted residual whose expansion and depthwise convolution are one ordinary 3x3 convolution."""

    def __init__(self, before: int, after: int, stride: int, expansion: int):
        super().__init__()
        self.expand = _same_conv_bn(before, before * expansion, 3, stride, activation=nn.Silu)
        self.project = _same_conv_bn(before * expansion, after, 1)
        self.has_shortcut = stride == 1 and before == after

    def forward(self, x):
        y = self.project(self.expand(x))
        return x + y if self.has_shortcut else y


def _inverted_residual(before: int, after: int, stride: int, expansion: int) -> nn.Layer:
    """With squeeze-and-excitation of a quarter of the block's own input, not of its expansion."""
    return InvertedResidual(before, after, 3, stride, expansion, nn.Silu, _same_conv_bn, squeeze=before // 4)


def _stage(block, before: int, after: int, count: int, stride: int, expansion: int) -> nn.Sequential:
    """`count` blocks, the first of which changes width and resolution."""
    return nn.Sequential(block(before, after, stride, expansion),
                         *(block(after, after, 1, expansion) for _ in range(count - 1)))
