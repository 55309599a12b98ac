"""RegNetY, of which PaddleClas has only the X networks."""
from __future__ import annotations

import math
from collections.abc import Sequence

from paddle import nn
from paddle.nn import functional as F

_STEM = 32
_SQUEEZE = 0.25


class RegNetY(nn.Layer):
    """Stages of residual bottlenecks with grouped convolutions and squeeze-and-excitation, after a strided 3x3 stem.

    The first block of each stage halves the resolution. The width of a squeeze is a quarter of what its block receives, not of
    what it works on. Sublayers are named as in timm (stem, s1.b1.conv1.conv, ...), except for the classifier, `fc`.

    Initial values as in the released code: convolutions normal of variance 2 / (kernel^2 after), classifier normal of 0.01.

    Args:
        depths, widths: blocks and channels of each stage.
        group_width: channels of each group of the 3x3 convolutions.
        class_num: classes.

    Source: Radosavovic et al., "Designing Network Design Spaces", arXiv:2003.13678, section 5.
    """

    def __init__(self, depths: Sequence[int], widths: Sequence[int], group_width: int, class_num: int):
        super().__init__()
        self.stem, self.stages = _ConvBN(3, _STEM, 3, 2), [f"s{place}" for place in range(1, len(depths) + 1)]
        for stage, depth, before, after in zip(self.stages, depths, (_STEM, *widths), widths):
            blocks = [_Bottleneck(after if block else before, after, group_width, 1 if block else 2) for block in range(depth)]
            setattr(self, stage, nn.Sequential(*((f"b{number}", block) for number, block in enumerate(blocks, 1))))
        self.fc = nn.Linear(widths[-1], class_num, weight_attr=nn.initializer.Normal(0.0, 0.01))

    def forward(self, image):
        """float32 [B, 3, H, W] -> logits [B, class_num]."""
        x = F.relu(self.stem(image))
        for stage in self.stages:
            x = getattr(self, stage)(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def RegNetY_16GF(class_num: int) -> RegNetY:
    """RegNetY-16GF, 83.6 million weights at 1000 classes, 16 billion multiplications at 224 pixels.

    Its widths are those that w_0 = 200, w_a = 106.23, w_m = 2.48 and 18 blocks give. It is DeiT's teacher; see RegNetY.

    Args:
        class_num: classes.
    """
    return RegNetY((2, 4, 11, 1), (224, 448, 1232, 3024), 112, class_num)


class _Bottleneck(nn.Layer):
    """1x1, grouped 3x3 and 1x1 convolution of one width, with squeeze-and-excitation, beside a shortcut."""

    def __init__(self, before: int, after: int, group_width: int, stride: int):
        super().__init__()
        self.conv1 = _ConvBN(before, after, 1)
        self.conv2 = _ConvBN(after, after, 3, stride, after // group_width)
        self.se = _SqueezeExcitation(after, round(_SQUEEZE * before))
        self.conv3 = _ConvBN(after, after, 1)
        self.downsample = _ConvBN(before, after, 1, stride) if stride > 1 or before != after else None
        self.relu = nn.ReLU()           # a layer, so that the sum before it can be tapped

    def forward(self, x):
        y = self.conv3(self.se(F.relu(self.conv2(F.relu(self.conv1(x))))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class _SqueezeExcitation(nn.Layer):
    """Each channel times a factor in (0, 1) that depends on the mean of all channels over the map."""

    def __init__(self, width: int, squeezed: int):
        super().__init__()
        self.fc1 = nn.Conv2D(width, squeezed, 1, weight_attr=_normal(squeezed))
        self.fc2 = nn.Conv2D(squeezed, width, 1, weight_attr=_normal(width))

    def forward(self, x):
        return x * F.sigmoid(self.fc2(F.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class _ConvBN(nn.Layer):
    """A convolution without bias, and batch norm."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2D(before, after, kernel, stride, kernel // 2, groups=groups, bias_attr=False,
                              weight_attr=_normal(kernel * kernel * after))
        self.bn = nn.BatchNorm2D(after)

    def forward(self, x):
        return self.bn(self.conv(x))


def _normal(fan_out: int) -> nn.initializer.Normal:
    return nn.initializer.Normal(0.0, math.sqrt(2 / fan_out))
