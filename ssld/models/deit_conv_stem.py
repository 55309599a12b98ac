"""DeiT with a convolutional stem and a distillation head: VkD's students."""
from __future__ import annotations

import paddle
from paddle import nn

from ..checks import below_one
from ..outputs import DISTILLATION_LOGITS, Outputs
from .vit_block import EPSILON, Block, check_size, convolution, linear, rates, side_of, token

_DEPTH = 12
_STEM_WIDTH, _PATCH = 64, 16
_EXTRA = 2                      # class token, distillation token


class DeiTConvStem(nn.Layer):
    """A DeiT whose patches are made by four convolutions, with a distillation token that is their mean.

    The stem is a 7x7 convolution of stride 2 and two 3x3 ones, 64 wide, each with batch norm and ReLU, then 8x8 of stride 8:
    one token per 16 x 16 pixels. In front of these stand a learned class token and the mean of the tokens; a learned position
    is added to each; 12 blocks and a layer norm follow. One linear head reads the class token, a second one the other.

    In training the answer holds the logits of both heads, so that the second can learn from the teacher alone; in evaluation it
    is the mean of the two. The features `norm` are all tokens behind the last layer norm, the first two being no patches.

    Initial values: linear layers, class token and positions truncated normal of 0.02, biases 0; convolutions uniform within
    1 / sqrt(fan-in) of 0.

    Args:
        class_num: classes.
        width: of the tokens.
        heads: of the attention.
        img_size: height and width of the images in pixels, a multiple of 16; the positions fit no others.
        drop_path_rate: stochastic depth of the last block, from 0 at the first one.

    Raises:
        InputError: a size that is no multiple of 16; when it runs, images of another size.

    Source: Touvron et al., "Training data-efficient image transformers & distillation through attention", arXiv:2012.12877,
    section 4, with the changes of Miles et al., arXiv:2403.06213, and its released code.
    """

    def __init__(self, class_num: int, width: int, heads: int, img_size: int = 224, drop_path_rate: float = 0.0):
        super().__init__()
        self.img_size, patches = img_size, side_of(img_size, _PATCH) ** 2
        below_one("drop_path_rate", drop_path_rate)
        self.cls_token, self.pos_embed = token(self, 1, width), token(self, patches + _EXTRA, width)
        self.patch_embed = nn.Sequential(*_conv_bn_relu(3, 7, 2), *_conv_bn_relu(_STEM_WIDTH, 3),
                                         *_conv_bn_relu(_STEM_WIDTH, 3), convolution(_STEM_WIDTH, width, 8, 8, 0, biased=True))
        self.blocks = nn.LayerList([Block(width, heads, rate) for rate in rates(drop_path_rate, _DEPTH)])
        self.norm = nn.LayerNorm(width, epsilon=EPSILON)
        self.head_dist, self.head = linear(width, class_num), linear(width, class_num)

    def forward(self, image):
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]; in training Outputs with those of both heads."""
        check_size(self, image)
        x = self.patch_embed(image).flatten(2).transpose([0, 2, 1])
        mean = x.mean(1, keepdim=True)
        # a sum and not expand_as, which does not go to ONNX
        x = paddle.concat([self.cls_token.astype(x.dtype) + paddle.zeros_like(mean), mean, x], axis=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        logits, distillation_logits = self.head(x[:, 0]), self.head_dist(x[:, 1])
        if self.training:
            return Outputs(logits, aux={DISTILLATION_LOGITS: distillation_logits})
        return (logits + distillation_logits) / 2


def DeiT_tiny_conv_stem(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0) -> DeiTConvStem:
    """192 wide, 3 heads: 6.6 million weights at 1000 classes; see DeiTConvStem."""
    return DeiTConvStem(class_num, 192, 3, img_size, drop_path_rate)


def DeiT_small_conv_stem(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0) -> DeiTConvStem:
    """384 wide, 6 heads: 23.8 million weights at 1000 classes; see DeiTConvStem."""
    return DeiTConvStem(class_num, 384, 6, img_size, drop_path_rate)


def _conv_bn_relu(before: int, kernel: int, stride: int = 1) -> tuple[nn.Layer, ...]:
    return (convolution(before, _STEM_WIDTH, kernel, stride, kernel // 2, biased=False), nn.BatchNorm2D(_STEM_WIDTH),
            nn.ReLU())
