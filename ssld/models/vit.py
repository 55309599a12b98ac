"""Plain vision transformers that classify from the mean of their patches, as ScaleKD's students do, or from a class token."""
from __future__ import annotations

import paddle
from paddle import nn

from ..checks import below_one, one_of, positive_int
from .vit_block import EPSILON, Block, check_size, convolution, linear, rates, side_of, token

_DEPTH, _HEAD_WIDTH = 12, 64


class ViT(nn.Layer):
    """A vision transformer of the shapes of DeiT, with a choice of what the classifier reads.

        gap     the mean over all tokens behind the last layer norm; there is no class token
        cls     the class token behind the last layer norm, as in PaddleClas's DeiT of the same shape

    The published networks with a mean keep a class token and its position that nothing reads; here `gap` is without both, so
    that every parameter gets a gradient. Sublayers are named as in PaddleClas and timm.

    The features `blocks.i` and `norm` are all tokens [B, N, width], the class token first where there is one.

    Args:
        class_num: classes.
        width: of the tokens.
        patch: side of a patch, pixels.
        img_size: height and width of the images in pixels, a multiple of the patch; the positions fit no others.
        pool: one of the two above.
        drop_path_rate: stochastic depth of the last block, from 0 at the first one.
        depth: blocks.
        heads: of the attention; by default one for each 64 channels.

    Raises:
        InputError: a value out of its range; when it runs, images of another size.

    Source: Dosovitskiy et al., "An Image is Worth 16x16 Words", arXiv:2010.11929; shapes: Touvron et al., arXiv:2012.12877.
    """

    def __init__(self, class_num: int, width: int, patch: int = 16, img_size: int = 224, pool: str = "gap",
                 drop_path_rate: float = 0.0, depth: int = _DEPTH, heads: int | None = None):
        super().__init__()
        self.pool = one_of("pool", pool, ("gap", "cls"))
        self.img_size, self.patch, side = img_size, patch, side_of(img_size, patch)
        heads = width // _HEAD_WIDTH if heads is None else heads
        if self.pool == "cls":
            self.cls_token = token(self, 1, width)
        self.pos_embed = token(self, side * side + (self.pool == "cls"), width)
        self.patch_embed = nn.Sequential(("proj", convolution(3, width, patch, patch)))
        rate_of = rates(below_one("drop_path_rate", drop_path_rate), positive_int("depth", depth))
        self.blocks = nn.LayerList([Block(width, heads, rate) for rate in rate_of])
        self.norm = nn.LayerNorm(width, epsilon=EPSILON)
        self.head = linear(width, class_num)

    def forward(self, image):
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]."""
        check_size(self, image)
        x = self.patch_embed(image).flatten(2).transpose([0, 2, 1])
        if self.pool == "cls":
            x = paddle.concat([self.cls_token.astype(x.dtype).expand_as(x[:, :1]), x], axis=1)
        x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.pool == "gap" else x[:, 0])


def ViT_S_16(class_num: int, img_size: int = 224, pool: str = "gap", drop_path_rate: float = 0.0) -> ViT:
    """384 wide, patches of 16 pixels: 22.05 million weights at 1000 classes; see ViT."""
    return ViT(class_num, 384, 16, img_size, pool, drop_path_rate)


def ViT_B_16(class_num: int, img_size: int = 224, pool: str = "gap", drop_path_rate: float = 0.0) -> ViT:
    """768 wide, patches of 16 pixels: 86.57 million weights at 1000 classes; see ViT."""
    return ViT(class_num, 768, 16, img_size, pool, drop_path_rate)


def ViT_B_14(class_num: int, img_size: int = 224, pool: str = "gap", drop_path_rate: float = 0.0) -> ViT:
    """768 wide, patches of 14 pixels: 86.47 million weights at 1000 classes; see ViT."""
    return ViT(class_num, 768, 14, img_size, pool, drop_path_rate)
