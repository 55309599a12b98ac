"""DeiT with a convolutional stem and a distillation head: VkD's students."""
from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import below_one, positive_int
from ..errors import InputError
from ..outputs import DISTILLATION_LOGITS, Outputs

_DEPTH, _MLP_RATIO, _EPSILON = 12, 4, 1e-6
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
        if positive_int("img_size", img_size) % _PATCH:
            raise InputError(f"img_size must be a multiple of {_PATCH}, not {img_size}.")
        below_one("drop_path_rate", drop_path_rate)
        self.img_size = img_size
        self.cls_token = self._token(1, width)
        self.pos_embed = self._token((img_size // _PATCH) ** 2 + _EXTRA, width)
        self.patch_embed = nn.Sequential(*_conv_bn_relu(3, 7, 2), *_conv_bn_relu(_STEM_WIDTH, 3),
                                         *_conv_bn_relu(_STEM_WIDTH, 3), _convolution(_STEM_WIDTH, width, 8, 8, 0, biased=True))
        self.blocks = nn.LayerList([_Block(width, heads, drop_path_rate * place / (_DEPTH - 1)) for place in range(_DEPTH)])
        self.norm = nn.LayerNorm(width, epsilon=_EPSILON)
        self.head_dist, self.head = _linear(width, class_num), _linear(width, class_num)

    def forward(self, image):
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]; in training Outputs with those of both heads."""
        if tuple(image.shape[2:]) != (self.img_size, self.img_size):
            raise InputError(f"DeiTConvStem takes images of {self.img_size} x {self.img_size} pixels, found {image.shape[3]} x "
                             f"{image.shape[2]}. Change the size in transform_ops, or Arch's img_size.")
        x = self.patch_embed(image).flatten(2).transpose([0, 2, 1])
        mean = x.mean(1, keepdim=True)
        x = paddle.concat([self.cls_token.astype(x.dtype).expand_as(mean), mean, x], axis=1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        logits, distillation_logits = self.head(x[:, 0]), self.head_dist(x[:, 1])
        if self.training:
            return Outputs(logits, aux={DISTILLATION_LOGITS: distillation_logits})
        return (logits + distillation_logits) / 2

    def _token(self, count: int, width: int) -> Tensor:
        return self.create_parameter([1, count, width], default_initializer=nn.initializer.TruncatedNormal(std=0.02))


def DeiT_tiny_conv_stem(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0) -> DeiTConvStem:
    """192 wide, 3 heads: 6.6 million weights at 1000 classes; see DeiTConvStem."""
    return DeiTConvStem(class_num, 192, 3, img_size, drop_path_rate)


def DeiT_small_conv_stem(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0) -> DeiTConvStem:
    """384 wide, 6 heads: 23.8 million weights at 1000 classes; see DeiTConvStem."""
    return DeiTConvStem(class_num, 384, 6, img_size, drop_path_rate)


class _Block(nn.Layer):
    """Attention and MLP, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, drop_path: float):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, epsilon=_EPSILON), _Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, epsilon=_EPSILON), _MLP(width)
        self.drop_path = drop_path

    def forward(self, x):
        x = x + self._dropped(self.attn(self.norm1(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, y):
        """Leaves out the residual of some images, and enlarges the others in turn."""
        return F.dropout(y, self.drop_path, axis=0, training=self.training) if self.drop_path else y


class _Attention(nn.Layer):
    """Softmax attention of several heads among all tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = _linear(width, 3 * width), _linear(width, width)

    def forward(self, x):
        _, tokens, width = x.shape
        each = width // self.heads
        query, key, value = self.qkv(x).reshape([-1, tokens, 3, self.heads, each]).transpose([2, 0, 3, 1, 4]).unbind(0)
        weights = F.softmax(paddle.matmul(query * each ** -0.5, key, transpose_y=True), -1)
        return self.proj(paddle.matmul(weights, value).transpose([0, 2, 1, 3]).reshape([-1, tokens, width]))


class _MLP(nn.Layer):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = _linear(width, _MLP_RATIO * width), _linear(_MLP_RATIO * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def _conv_bn_relu(before: int, kernel: int, stride: int = 1) -> tuple[nn.Layer, ...]:
    return (_convolution(before, _STEM_WIDTH, kernel, stride, kernel // 2, biased=False), nn.BatchNorm2D(_STEM_WIDTH),
            nn.ReLU())


def _convolution(before: int, after: int, kernel: int, stride: int, padding: int, biased: bool) -> nn.Conv2D:
    bound = 1 / math.sqrt(before * kernel * kernel)
    initial = nn.initializer.Uniform(-bound, bound)
    return nn.Conv2D(before, after, kernel, stride, padding, weight_attr=initial, bias_attr=initial if biased else False)


def _linear(before: int, after: int) -> nn.Linear:
    return nn.Linear(before, after, weight_attr=nn.initializer.TruncatedNormal(std=0.02),
                     bias_attr=nn.initializer.Constant(0.0))
