"""A residual network for small pictures."""
from __future__ import annotations

from paddle import nn
from paddle.nn import functional as F

from ..checks import positive_int
from ..errors import InputError


class SmallResNet(nn.Layer):
    """Residual network for pictures of 32 to 64 pixels: three stages of basic blocks, 3x3 stem, no pooling before them.

    Args:
        class_num: classes.
        depth: 6 n + 2 layers for n blocks a stage: 8, 14, 20, 32, 44, 56.
        width: channels of the first stage; the later ones have 2 and 4 times as many.
        stem_stride: 1 for 32-pixel pictures, 2 for larger ones.
        stem_width: channels of the stem; by default those of the first stage. The networks known as resnet8x4 and resnet32x4
            have depth 8 and 32, width 64 and stem_width 32.

    Source: He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385, section 4.2, with projections
    where the shape changes.
    """

    def __init__(self, class_num: int, depth: int = 8, width: int = 16, stem_stride: int = 1,
                 stem_width: int | None = None):
        super().__init__()
        positive_int("width", width)
        stem_width = positive_int("stem_width", width if stem_width is None else stem_width)
        if depth < 8 or (depth - 2) % 6:
            raise InputError(f"depth must be 6 n + 2 (8, 14, 20, ...), not {depth}.")
        self.stem_stride = stem_stride
        self.stem = _conv_bn(3, stem_width, max(3, 2 * stem_stride - 1), stem_stride)
        for stage in range(3):
            before, after = (stem_width, width) if stage == 0 else (width << (stage - 1), width << stage)
            blocks = [_BasicBlock(before if i == 0 else after, after, 2 if stage and i == 0 else 1)
                      for i in range((depth - 2) // 6)]
            setattr(self, f"stage{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(width * 4, class_num)

    def forward(self, image):
        """float32 [B, 3, H, W] -> logits [B, class_num]."""
        x = F.relu(self.stem(image))
        x = self.stage3(self.stage2(self.stage1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class _BasicBlock(nn.Layer):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = _conv_bn(before, after, 3, stride)
        self.conv2 = _conv_bn(after, after, 3, 1)
        self.short = _conv_bn(before, after, 1, stride) if stride > 1 or before != after else None
        self.relu = nn.ReLU()           # a layer, so that the sum before it can be tapped

    def forward(self, x):
        return self.relu(self.conv2(F.relu(self.conv1(x))) + (x if self.short is None else self.short(x)))


def _conv_bn(before: int, after: int, kernel: int, stride: int) -> nn.Layer:
    conv = nn.Conv2D(before, after, kernel, stride, kernel // 2, bias_attr=False,
                     weight_attr=nn.initializer.KaimingNormal())
    return nn.Sequential(conv, nn.BatchNorm2D(after))
