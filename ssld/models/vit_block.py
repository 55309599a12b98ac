"""What every plain vision transformer is made of: blocks of attention and MLP, and the first values of their weights."""
from __future__ import annotations

import math

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import positive_int
from ..errors import InputError

EPSILON = 1e-6
_MLP_RATIO = 4


class Block(nn.Layer):
    """Attention and MLP, each behind a layer norm and beside a shortcut: tokens [B, N, width] -> the same.

    Args:
        width: of the tokens.
        heads: of the attention.
        drop_path: probability, in [0, 1), of leaving out a branch for an image while training.
    """

    def __init__(self, width: int, heads: int, drop_path: float = 0.0):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, epsilon=EPSILON), _Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, epsilon=EPSILON), _MLP(width)
        self.drop_path = drop_path

    def forward(self, x):
        x = x + dropped(self.attn(self.norm1(x)), self.drop_path, self.training)
        return x + dropped(self.mlp(self.norm2(x)), self.drop_path, self.training)


class _Attention(nn.Layer):
    """Softmax attention of several heads among all tokens."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = linear(width, 3 * width), linear(width, width)

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
        self.fc1, self.fc2 = linear(width, _MLP_RATIO * width), linear(_MLP_RATIO * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def dropped(y: Tensor, rate: float, training: bool) -> Tensor:
    """Stochastic depth: while training, leave out the branch y of some images, and enlarge the others in turn.

    Args:
        y: [B, ...].
        rate: probability of leaving out, in [0, 1).
        training: whether the layer trains.
    """
    return F.dropout(y, rate, axis=0, training=training) if rate else y


def rates(drop_path_rate: float, depth: int) -> list[float]:
    """The probability of stochastic depth of each block: from 0 at the first to `drop_path_rate` at the last."""
    return [drop_path_rate * place / max(depth - 1, 1) for place in range(depth)]


def side_of(size: int, patch: int, name: str = "img_size") -> int:
    """Patches per side of a picture of `size` pixels.

    Raises:
        InputError: `name`, the option that says the size, is no multiple of the patch.
    """
    if positive_int(name, size) % positive_int("patch", patch):
        raise InputError(f"{name} must be a multiple of {patch}, not {size}.")
    return size // patch


def check_size(network: nn.Layer, image: Tensor) -> None:
    """Refuse images [B, 3, H, W] other than those of `network.img_size`, which its weights depend on.

    Raises:
        InputError: of another size.
    """
    if tuple(image.shape[2:]) != (network.img_size, network.img_size):
        raise InputError(f"this {type(network).__name__} takes images of {network.img_size} x {network.img_size} pixels, found "
                         f"{image.shape[3]} x {image.shape[2]}. Set its img_size, or change the size in transform_ops.")


def token(network: nn.Layer, count: int, width: int) -> Tensor:
    """A parameter [1, count, width] of `network`, truncated normal of 0.02: learned tokens, or positions of tokens."""
    return network.create_parameter([1, count, width], default_initializer=nn.initializer.TruncatedNormal(std=0.02))


def linear(before: int, after: int) -> nn.Linear:
    """A linear layer; weights truncated normal of 0.02, biases 0."""
    return nn.Linear(before, after, weight_attr=nn.initializer.TruncatedNormal(std=0.02),
                     bias_attr=nn.initializer.Constant(0.0))


def convolution(before: int, after: int, kernel: int, stride: int, padding: int = 0, biased: bool = True) -> nn.Conv2D:
    """A convolution; weights and biases uniform within 1 / sqrt(fan-in) of 0."""
    bound = 1 / math.sqrt(before * kernel * kernel)
    initial = nn.initializer.Uniform(-bound, bound)
    return nn.Conv2D(before, after, kernel, stride, padding, weight_attr=initial, bias_attr=initial if biased else False)
