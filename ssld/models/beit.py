"""BEiT v2 as its fine-tuned classifiers are, VanillaKD's teacher, and EVA's BEiT of plain blocks, ScaleKD's.

PaddleClas has a network of this name that is another one: no bias in the patch embedding, the class token in place of the mean
of the patches, and a forward pass that changes when another network of its file is built.
"""
from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from ..checks import one_of
from .vit_block import EPSILON, Block, check_size, side_of, token

_MLP_RATIO, _PATCH = 4, 16
_EXTRA = 3                      # entries of the bias table: class token to patch, patch to class token, class token to itself


class BEiT(nn.Layer):
    """A ViT with a class token whose classifier reads the mean of the patch tokens, after a layer norm.

        relative    a learned bias for each relative position of two patches in every block, and scaled residual branches
        absolute    a learned position is added to each token; the blocks are those of a plain ViT

    Sublayers are named as in the released code. The features `blocks.i` are all tokens [B, 1 + N, width], the first being the
    class token; no layer norm sees all of them behind the last block. Blocks also take patch tokens [B, N, width] alone.

    Args:
        class_num: classes.
        width: of the tokens.
        depth: blocks.
        heads: of the attention.
        img_size: height and width of the images in pixels; the biases fit no others.
        patch: side of a patch, pixels.
        positions: one of the two above.
        position_size: of absolute positions: size of the images that they were learned for, pixels, by default img_size. Where
            the two differ, positions are interpolated (bicubic) each time they are added; the weights stay as they are.

    Raises:
        InputError: a size that is no multiple of the patch; when it runs, images of another size.

    Source: Peng et al., "BEiT v2: Masked Image Modeling with Vector-Quantized Visual Tokenizers", arXiv:2208.06366, and Bao et
    al., arXiv:2106.08254, whose network it is; `absolute`: Fang et al., "EVA", arXiv:2211.07636.
    """

    def __init__(self, class_num: int, width: int, depth: int, heads: int, img_size: int = 224, patch: int = _PATCH,
                 positions: str = "relative", position_size: int | None = None):
        super().__init__()
        relative = one_of("positions", positions, ("relative", "absolute")) == "relative"
        self.img_size, self.patch, self.side = img_size, patch, side_of(img_size, patch)
        self.cls_token = token(self, 1, width)
        if not relative:
            self._learned = self.side if position_size is None else side_of(position_size, patch, "position_size")
            self.pos_embed = token(self, self._learned ** 2 + 1, width)
        self.patch_embed = nn.Sequential(("proj", nn.Conv2D(3, width, patch, patch)))
        self.blocks = nn.LayerList([_Block(width, heads, self.side) if relative else Block(width, heads) for _ in range(depth)])
        self.fc_norm = nn.LayerNorm(width, epsilon=EPSILON)
        self.head = nn.Linear(width, class_num)
        normal = nn.initializer.TruncatedNormal(std=0.02)
        for layer in self.sublayers():
            if isinstance(layer, (nn.Linear, nn.Conv2D)):
                normal(layer.weight)

    def forward(self, image: Tensor) -> Tensor:
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]."""
        check_size(self, image)
        patches = self.patch_embed(image).flatten(2).transpose([0, 2, 1])
        x = paddle.concat([self.cls_token + paddle.zeros_like(patches[:, :1]), patches], axis=1)
        if hasattr(self, "pos_embed"):
            x = x + self._positions()
        for block in self.blocks:
            x = block(x)
        return self.head(self.fc_norm(x[:, 1:].mean(1)))

    def _positions(self) -> Tensor:
        """Those of the class token and of each patch, [1, 1 + N, width]."""
        learned, side = self._learned, self.side
        if learned == side:
            return self.pos_embed
        grid = self.pos_embed[:, 1:].reshape([1, learned, learned, -1]).transpose([0, 3, 1, 2])
        grid = F.interpolate(grid, size=[side, side], mode="bicubic", align_corners=False)
        return paddle.concat([self.pos_embed[:, :1], grid.flatten(2).transpose([0, 2, 1])], axis=1)


def BEiTv2_base_patch16(class_num: int, img_size: int = 224) -> BEiT:
    """BEiT v2 base, 86.5 million weights at 1000 classes; see BEiT.

    Args:
        class_num: classes.
        img_size: height and width of the images, pixels.
    """
    return BEiT(class_num, 768, 12, 12, img_size)


def BEiTv2_large_patch16(class_num: int, img_size: int = 224) -> BEiT:
    """BEiT v2 large, 304 million weights at 1000 classes; see BEiT.

    Args:
        class_num: classes.
        img_size: height and width of the images, pixels.
    """
    return BEiT(class_num, 1024, 24, 16, img_size)


def BEiT_large_patch14(class_num: int, img_size: int = 224, position_size: int | None = None) -> BEiT:
    """EVA-L, 304.14 million weights at 1000 classes with positions of 196 pixels; see BEiT.

    ScaleKD's teacher was fine-tuned at 196 pixels and runs at 224: img_size 224, position_size 196.

    Args:
        class_num: classes.
        img_size: height and width of the images, pixels.
        position_size: size of the images that the positions were learned for, pixels; by default img_size.
    """
    return BEiT(class_num, 1024, 24, 16, img_size, 14, "absolute", position_size)


class _Block(nn.Layer):
    """Attention and MLP, each on a residual branch that is normalised before and scaled per channel behind."""

    def __init__(self, width: int, heads: int, side: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, epsilon=EPSILON), _Attention(width, heads, side)
        self.norm2 = nn.LayerNorm(width, epsilon=EPSILON)
        self.mlp = nn.Sequential(("fc1", nn.Linear(width, _MLP_RATIO * width)), ("act", nn.GELU()),
                                 ("fc2", nn.Linear(_MLP_RATIO * width, width)))
        scale = nn.initializer.Constant(0.1)
        self.gamma_1, self.gamma_2 = (self.create_parameter([width], default_initializer=scale) for _ in range(2))

    def forward(self, x):
        x = x + self.gamma_1 * self.attn(self.norm1(x))
        return x + self.gamma_2 * self.mlp(self.norm2(x))


class _Attention(nn.Layer):
    """Multi-head attention; queries and values have a bias, keys have none, which would change nothing."""

    def __init__(self, width: int, heads: int, side: int):
        super().__init__()
        self.heads, self.tokens, self.scale = heads, 1 + side * side, (width // heads) ** -0.5
        zero = nn.initializer.Constant(0.0)
        self.q_bias, self.v_bias = (self.create_parameter([width], default_initializer=zero) for _ in range(2))
        entries = (2 * side - 1) ** 2 + _EXTRA
        self.relative_position_bias_table = self.create_parameter([entries, heads], default_initializer=zero)
        self.qkv, self.proj = nn.Linear(width, 3 * width, bias_attr=False), nn.Linear(width, width)
        self.register_buffer("position", paddle.to_tensor(relative_positions(side)), persistable=False)

    def forward(self, x):
        tokens, width = x.shape[1:]
        bias = paddle.concat([self.q_bias, paddle.zeros_like(self.q_bias), self.v_bias])
        qkv = (self.qkv(x) + bias).reshape([-1, tokens, 3, self.heads, width // self.heads]).transpose([2, 0, 3, 1, 4])
        position = self.position[-tokens:, -tokens:].flatten()              # of the patches, where the class token is not there
        of_pairs = paddle.gather(self.relative_position_bias_table, position).reshape([tokens, tokens, self.heads])
        likeness = paddle.matmul(qkv[0] * self.scale, qkv[1], transpose_y=True)
        weights = F.softmax(likeness + of_pairs.transpose([2, 0, 1]), axis=-1)
        return self.proj(paddle.matmul(weights, qkv[2]).transpose([0, 2, 1, 3]).reshape([-1, tokens, width]))


def relative_positions(side: int) -> np.ndarray:
    """The entry of the bias table for each pair of tokens, the class token first: int64 [1 + side^2, 1 + side^2].

    Entries of two patches are by vertical, then horizontal distance; behind them come the three of the class token.
    """
    rows, columns = np.divmod(np.arange(side * side), side)
    down, right = (values[:, None] - values[None] + side - 1 for values in (rows, columns))
    patches = (2 * side - 1) ** 2
    table = np.empty((1 + side * side,) * 2, np.int64)
    table[1:, 1:] = down * (2 * side - 1) + right
    table[0, 1:], table[1:, 0], table[0, 0] = patches, patches + 1, patches + 2
    return table
