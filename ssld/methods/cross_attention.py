"""CAP: features of the student on the grid and in the width of the teacher, by one layer of cross attention."""
from __future__ import annotations

import paddle
from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F

from ..checks import one_of, positive, positive_int
from ..errors import InputError
from .base import Cost
from .linear import linear

_EPSILON = 1e-5
_HIDDEN = 4                     # width of the feed-forward part, in teacher widths
NORMS = ("bn", "ln")


class CrossAttentionProjector(nn.Layer):
    """Queries on the teacher's grid read the positions of a student's map.

        u = ReLU(norm(Conv3x3(F))) + E                       same grid and width as F
        o = softmax(s (C_t / h)^-1/2 q k^T) v                k, v linear in u; q linear in ReLU(linear(Q)); h heads
        n = LayerNorm(linear(o)),   y = n + linear(ReLU(linear(n)))

    E and, with queries of its own, Q are learned. Nothing else goes past the attention: no residual of the query or of o. All
    weights and biases begin uniform within 1 / sqrt(fan-in), Q normal, E truncated normal of 0.02. E is called `pos_embed`, so
    that recipes which exempt such names from weight decay reach it.

    Args:
        student_dim: C_s, channels of the map.
        student_grid: its height and width.
        teacher_dim: C_t.
        positions: P, of the teacher's grid.
        heads: h, divides C_t.
        softmax_scale: s, > 0; multiplies the usual scale.
        norm: bn, or ln: over the channels of each position.
        own_query: has queries Q of its own; without, they are given.

    Raises:
        InputError: heads that do not divide the teacher's width.

    Source: Fan et al., "ScaleKD: Strong Vision Transformers Could Be Excellent Teachers", arXiv:2411.06786, section 3.2, and
    its released code.
    """

    def __init__(self, student_dim: int, student_grid: tuple[int, int], teacher_dim: int, positions: int, heads: int,
                 softmax_scale: float = 1.0, norm: str = "bn", own_query: bool = True):
        super().__init__()
        if teacher_dim % positive_int("heads", heads):
            raise InputError(f"heads: {heads} heads do not divide the teacher's width of {teacher_dim}. Choose a divisor.")
        self.heads, self.scale = heads, positive("softmax_scale", softmax_scale) * (teacher_dim // heads) ** -0.5
        self.stem = _convolution(student_dim)
        self.norm = (nn.BatchNorm2D(student_dim, 0.9, _EPSILON) if one_of("norm", norm, NORMS) == "bn"
                     else _ChannelNorm(student_dim, epsilon=_EPSILON))
        self.pos_embed = self.create_parameter([1, student_dim, *student_grid],
                                               default_initializer=nn.initializer.TruncatedNormal(std=0.02))
        if own_query:
            self.query = self.create_parameter([1, positions, teacher_dim], default_initializer=nn.initializer.Normal())
        self.before_query, self.to_query = (linear(teacher_dim, teacher_dim) for _ in range(2))
        self.to_key, self.to_value = (linear(student_dim, teacher_dim) for _ in range(2))
        self.out, self.out_norm = linear(teacher_dim, teacher_dim), nn.LayerNorm(teacher_dim, _EPSILON)
        self.widen, self.narrow = linear(teacher_dim, _HIDDEN * teacher_dim), linear(_HIDDEN * teacher_dim, teacher_dim)

    def forward(self, feature: Tensor, query: Tensor | None = None) -> Tensor:
        """Tokens on the teacher's grid.

        Queries of its own are the same for every image, so what is made of them is computed once for a batch.

        Args:
            feature: [B, C_s, *student_grid].
            query: [B, P, C_t]; None: its own.

        Returns:
            [B, P, C_t].
        """
        seen = F.relu(self.norm(self.stem(feature))) + self.pos_embed
        seen = seen.flatten(2).transpose([0, 2, 1])
        query = self.to_query(F.relu(self.before_query(self.query if query is None else query)))
        read = self.out_norm(self.out(self._attend(query, self.to_key(seen), self.to_value(seen))))
        return read + self.narrow(F.relu(self.widen(read)))

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[B or 1, P, C_t], [B, L, C_t] twice -> [B, P, C_t]; the softmax at least in float32."""
        query, key, value = (self._split(each) for each in (query * self.scale, key, value))
        with paddle.amp.auto_cast(enable=False):
            weights = F.softmax(paddle.matmul(at_least_float32(query), at_least_float32(key), transpose_y=True), -1)
        read = paddle.matmul(weights.astype(value.dtype), value)
        return read.transpose([0, 2, 1, 3]).flatten(2)

    def _split(self, tokens: Tensor) -> Tensor:
        """[B, n, C_t] -> [B, h, n, C_t / h]."""
        count, width = tokens.shape[1:]
        return tokens.reshape([-1, count, self.heads, width // self.heads]).transpose([0, 2, 1, 3])


def projector_cost(student_dim: int, student_grid: tuple[int, int], teacher_dim: int, positions: int,
                   own_query: bool = True) -> Cost:
    """What a CrossAttentionProjector of these dimensions takes, for one image by itself."""
    c_s, c_t, places = student_dim, teacher_dim, student_grid[0] * student_grid[1]
    before = 9 * c_s ** 2 + 3 * c_s + c_s * places                      # convolution, norm, E
    attention = 3 * (c_t ** 2 + c_t) + 2 * (c_s * c_t + c_t) + own_query * positions * c_t
    behind = 2 * _HIDDEN * c_t ** 2 + (_HIDDEN + 1) * c_t + 2 * c_t
    work = (9 * c_s ** 2 + 2 * c_s * c_t) * places + (3 + 2 * _HIDDEN) * c_t ** 2 * positions + 2 * positions * places * c_t
    return Cost(before + attention + behind, work)


def at_least_float32(x: Tensor) -> Tensor:
    """Half precision as float32, anything wider as it is."""
    return x.astype("float32") if x.dtype in (paddle.float16, paddle.bfloat16) else x


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each position of a map [B, C, H, W]."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.transpose([0, 2, 3, 1])).transpose([0, 3, 1, 2])


def _convolution(channels: int) -> nn.Conv2D:
    bound = (9 * channels) ** -0.5
    begin = ParamAttr(initializer=nn.initializer.Uniform(-bound, bound))
    return nn.Conv2D(channels, channels, 3, padding=1, weight_attr=begin, bias_attr=begin)
