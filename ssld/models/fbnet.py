"""FBNet-C, a mobile network found by differentiable search."""
from __future__ import annotations

from paddle import nn
from paddle.nn import functional as F

from .inverted_residual import InvertedResidual, conv_bn, mobile_classifier

_STEM, _HEAD = 16, 1984
_STAGES = (                             # each block: kernel, stride, expansion, channels
    ((3, 1, 1, 16),),
    ((3, 2, 6, 24), (3, 1, 1, 24), (3, 1, 1, 24)),
    ((5, 2, 6, 32), (5, 1, 3, 32), (5, 1, 6, 32), (3, 1, 6, 32)),
    ((5, 2, 6, 64), (5, 1, 3, 64), (5, 1, 6, 64), (5, 1, 6, 64), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112),
     (5, 1, 3, 112)),
    ((5, 2, 6, 184), (5, 1, 6, 184), (5, 1, 6, 184), (5, 1, 6, 184), (3, 1, 6, 352)),
)


class FBNetC(nn.Layer):
    """FBNet-C: 22 inverted residuals with ReLU, 5.6 million weights and 375 million multiplications at 224 pixels.

    Every block has its expansion, also where the ratio is 1. For initial values see `conv_bn` and `mobile_classifier`.

    Args:
        class_num: classes.

    Source: Wu et al., "FBNet: Hardware-Aware Efficient ConvNet Design via Differentiable Neural Architecture Search",
    arXiv:1812.03443, with the blocks of the network that its authors released.
    """

    def __init__(self, class_num: int):
        super().__init__()
        self.stem = conv_bn(3, _STEM, 3, 2, activation=nn.ReLU)
        before = _STEM
        for place, blocks in enumerate(_STAGES, 1):
            layers = []
            for kernel, stride, expansion, after in blocks:
                layers.append(InvertedResidual(before, after, kernel, stride, expansion, nn.ReLU))
                before = after
            setattr(self, f"stage{place}", nn.Sequential(*layers))
        self.head = conv_bn(before, _HEAD, 1, activation=nn.ReLU)
        self.fc = mobile_classifier(_HEAD, class_num)

    def forward(self, image):
        """float32 [B, 3, H, W] -> logits [B, class_num]."""
        x = self.stage2(self.stage1(self.stem(image)))
        x = self.head(self.stage5(self.stage4(self.stage3(x))))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
