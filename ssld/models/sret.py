"""SReT-LT, a small transformer that applies each of its blocks twice."""
from __future__ import annotations

import math

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import below_one, positive_int
from ..errors import InputError

_HEAD_WIDTH, _MLP_RATIO, _EPSILON = 32, 4, 1e-6
_WIDTHS = (64, 128, 256)
_SHARED = (2, 5, 3)             # blocks of each stage, each applied twice
_GROUPS = ((8, 2), (4, 1), (1, 1))      # groups of tokens at the first and the second application
_STEP = 32                      # image sizes whose tokens divide into these groups in every stage


class SReTLT(nn.Layer):
    """SReT-LT: three stages of transformer blocks that share weights, 5.0 million of them.

    Three convolutions make a map of one token per 8 pixels, to which a learned position map is added. A block is applied
    twice in a row, each time followed by a small residual MLP of its own. To save work, the first application lets tokens
    attend only to their group of consecutive ones, the second to fewer groups after a permutation of all tokens (undone
    afterwards). The permutation is drawn anew for each batch while training, from Paddle's generator; in evaluation it is a
    fixed one, so that the answer to an image depends on nothing else. Every sum of a residual has a learned factor on both
    sides.

    Initial values follow the released code: linear layers and convolutions uniform within 1 / sqrt(fan-in) of 0, biases
    included, position map truncated normal of 0.02.

    Args:
        class_num: classes.
        img_size: height and width of the images in pixels, a multiple of 32; the position map fits no others.
        drop_path_rate: stochastic depth of the last of the 20 applications, from 0 at the first one.

    Raises:
        InputError: a size that is no multiple of 32; when it runs, images of another size.

    Source: Shen, Liu and Xing, "Sliced Recursive Transformer", arXiv:2111.05297, sections 3.3 to 3.5, and its released code.
    """

    def __init__(self, class_num: int, img_size: int = 224, drop_path_rate: float = 0.1):
        super().__init__()
        if positive_int("img_size", img_size) % _STEP:
            raise InputError(f"img_size must be a multiple of {_STEP}, not {img_size}.")
        below_one("drop_path_rate", drop_path_rate)
        self.img_size, side = img_size, img_size // 8
        self.patch_embed = nn.Sequential(*_embedding(3, 32), *_embedding(32, 64), *_embedding(64, 64))
        self.pos_embed = self.create_parameter([1, _WIDTHS[0], side, side],
                                               default_initializer=nn.initializer.TruncatedNormal(std=0.02))
        rates = iter([drop_path_rate * place / 20 for place in range(20)])
        self.stages = nn.LayerList()
        for place, (width, shared, groups) in enumerate(zip(_WIDTHS, _SHARED, _GROUPS)):
            drop_paths = [next(rates) for _ in range(2 * shared)][:shared]
            self.stages.append(_Stage(width, groups, drop_paths, side >> place, place > 0))
        self.norm = nn.LayerNorm(_WIDTHS[-1], epsilon=_EPSILON)
        self.head = _linear(_WIDTHS[-1], class_num)

    def forward(self, image):
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]."""
        if tuple(image.shape[2:]) != (self.img_size, self.img_size):
            raise InputError(f"SReT_LT takes images of {self.img_size} x {self.img_size} pixels, found {image.shape[3]} x "
                             f"{image.shape[2]}. Change the size in transform_ops, or Arch's img_size.")
        x = self.patch_embed(image) + self.pos_embed
        for stage in self.stages:
            x = stage(x)
        return self.head(self.norm(x.mean([2, 3])))


class _Stage(nn.Layer):
    """Shared blocks, each applied twice, with an MLP after each application.

    Args:
        width: channels.
        groups: of tokens, at the first and at the second application.
        drop_paths: one rate per shared block.
        side: height and width of the map.
        halves: a convolution halves the resolution and doubles the channels before the blocks.
    """

    def __init__(self, width: int, groups: tuple[int, int], drop_paths: list[float], side: int, halves: bool):
        super().__init__()
        self.groups, self.side = groups, side
        self.pool = _convolution(width // 2, width, groups=width // 2) if halves else nn.Identity()
        self.blocks = nn.LayerList([_SharedBlock(width, rate) for rate in drop_paths])
        self.mlps = nn.LayerList([_ResidualMLP(width, 1) for _ in range(2 * len(drop_paths))])
        order = np.random.default_rng(0).permutation(side * side)
        self.register_buffer("order", paddle.to_tensor(order), persistable=False)

    def forward(self, x):
        x = self.pool(x)
        _, width, height, columns = x.shape
        x = x.flatten(2).transpose([0, 2, 1])
        first, second = self.groups
        for place, block in enumerate(self.blocks):
            x = self.mlps[2 * place](block(x, first))
            x = self.mlps[2 * place + 1](block(x, second, self._order() if second > 1 else None))
        return x.transpose([0, 2, 1]).reshape([-1, width, height, columns])

    def _order(self) -> Tensor:
        return paddle.randperm(self.side * self.side) if self.training else self.order


class _SharedBlock(nn.Layer):
    """Attention and MLP, each beside a shortcut."""

    def __init__(self, width: int, drop_path: float):
        super().__init__()
        self.norm = nn.LayerNorm(width, epsilon=_EPSILON)
        self.attention = _GroupAttention(width)
        self.sum = _WeightedSum()
        self.mlp = _ResidualMLP(width, _MLP_RATIO, drop_path)
        self.drop_path = drop_path

    def forward(self, x, groups: int, order: Tensor | None = None):
        """Tokens [B, N, width] -> the same shape; `order` permutes the tokens before they are grouped."""
        y = self.norm(x)
        if order is None:
            y = self.attention(y, groups)
        else:
            y = self.attention(y.index_select(order, 1), groups).index_select(order.argsort(), 1)
        return self.mlp(self.sum(x, _drop_path(y, self.drop_path, self.training)))


class _GroupAttention(nn.Layer):
    """Attention of several heads among the tokens of each group of consecutive ones."""

    def __init__(self, width: int):
        super().__init__()
        self.heads = width // _HEAD_WIDTH
        self.qkv, self.proj = _linear(width, 3 * width), _linear(width, width)

    def forward(self, x, groups: int):
        _, tokens, width = x.shape
        qkv = self.qkv(x).reshape([-1, tokens // groups, 3, self.heads, _HEAD_WIDTH]).transpose([2, 0, 3, 1, 4])
        query, key, value = qkv[0], qkv[1], qkv[2]
        weights = F.softmax(paddle.matmul(query * _HEAD_WIDTH ** -0.5, key, transpose_y=True), -1)
        return self.proj(paddle.matmul(weights, value).transpose([0, 2, 1, 3]).reshape([-1, tokens, width]))


class _ResidualMLP(nn.Layer):
    """Two linear layers beside a shortcut."""

    def __init__(self, width: int, ratio: int, drop_path: float = 0.0):
        super().__init__()
        self.norm = nn.LayerNorm(width, epsilon=_EPSILON)
        self.fc1, self.fc2 = _linear(width, ratio * width), _linear(ratio * width, width)
        self.sum = _WeightedSum()
        self.drop_path = drop_path

    def forward(self, x):
        y = self.fc2(F.gelu(self.fc1(self.norm(x))))
        return self.sum(x, _drop_path(y, self.drop_path, self.training))


class _WeightedSum(nn.Layer):
    """Shortcut and residual, each times a learned factor that begins at 1."""

    def __init__(self):
        super().__init__()
        self.shortcut, self.residual = (self.create_parameter([1], default_initializer=nn.initializer.Constant(1.0))
                                        for _ in range(2))

    def forward(self, x, y):
        return x * self.shortcut + y * self.residual


def _drop_path(y: Tensor, rate: float, training: bool) -> Tensor:
    """Leaves out the whole residual of some images, and enlarges the others in turn."""
    return F.dropout(y, rate, axis=0, training=training) if rate else y


def _embedding(before: int, after: int) -> tuple[nn.Layer, ...]:
    return _convolution(before, after), nn.BatchNorm2D(after), nn.ReLU()


def _convolution(before: int, after: int, groups: int = 1) -> nn.Conv2D:
    """3x3, halves the resolution."""
    initial = _uniform(before // groups * 9)
    return nn.Conv2D(before, after, 3, 2, 1, groups=groups, weight_attr=initial, bias_attr=initial)


def _linear(before: int, after: int) -> nn.Linear:
    return nn.Linear(before, after, weight_attr=_uniform(before), bias_attr=_uniform(before))


def _uniform(fan_in: int) -> nn.initializer.Uniform:
    return nn.initializer.Uniform(-1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
