"""MLP-Mixer: an MLP across the places of a picture and one across its channels, in turn."""
from __future__ import annotations

from paddle import nn
from paddle.nn import functional as F

from ..checks import below_one, positive, positive_int
from .vit_block import check_size, dropped, rates, side_of

_BIAS_STD, _HEAD_STD = 1e-6, 0.01


class Mixer(nn.Layer):
    """MLP-Mixer.

    Patches become tokens by one convolution. Each block adds to the tokens x

        x = x + MLP(norm1(x)^T)^T       across tokens: N -> token_hidden -> N, the same for every channel
        x = x + MLP(norm2(x))           across channels: width -> 4 width -> width, the same for every token

    A layer norm, the mean over the tokens and a linear layer follow. MLPs are two linear layers with a GELU between them.
    Sublayers are named as in timm, except that its `stem` is `patch_embed` here as in a ViT.

    The features `blocks.i` and `norm` are tokens [B, N, width], row by row of the picture.

    Initial values: MLPs Xavier-uniform with biases normal of 1e-6, the convolution normal of 1 / sqrt(fan-in), the classifier
    normal of 0.01.

    Args:
        class_num: classes.
        width: of the tokens.
        depth: blocks.
        token_hidden: width of the hidden layer across tokens.
        patch: side of a patch, pixels.
        img_size: height and width of the images in pixels, a multiple of the patch; the MLPs across tokens fit no others.
        drop_path_rate: stochastic depth of the last block, from 0 at the first one.
        epsilon: of the layer norms; 1e-6 for weights of timm.

    Raises:
        InputError: a value out of its range; when it runs, images of another size.

    Source: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", arXiv:2105.01601.
    """

    def __init__(self, class_num: int, width: int, depth: int, token_hidden: int, patch: int = 16, img_size: int = 224,
                 drop_path_rate: float = 0.0, epsilon: float = 1e-5):
        super().__init__()
        self.img_size, self.patch, self.side = img_size, patch, side_of(img_size, patch)
        positive("epsilon", epsilon)
        initial = nn.initializer.Normal(std=(3 * patch * patch) ** -0.5)
        self.patch_embed = nn.Sequential(("proj", nn.Conv2D(3, width, patch, patch, weight_attr=initial)))
        rate_of = rates(below_one("drop_path_rate", drop_path_rate), positive_int("depth", depth))
        self.blocks = nn.LayerList([_Block(self.side ** 2, width, token_hidden, epsilon, rate) for rate in rate_of])
        self.norm = nn.LayerNorm(width, epsilon=epsilon)
        self.head = nn.Linear(width, class_num, weight_attr=nn.initializer.Normal(std=_HEAD_STD))

    def forward(self, image):
        """float32 [B, 3, img_size, img_size] -> logits [B, class_num]."""
        check_size(self, image)
        x = self.patch_embed(image).flatten(2).transpose([0, 2, 1])
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def Mixer_S_16(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0, epsilon: float = 1e-5) -> Mixer:
    """512 wide, 8 blocks, patches of 16 pixels: 18.53 million weights at 1000 classes; see Mixer."""
    return Mixer(class_num, 512, 8, 256, 16, img_size, drop_path_rate, epsilon)


def Mixer_B_16(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0, epsilon: float = 1e-5) -> Mixer:
    """768 wide, 12 blocks, patches of 16 pixels: 59.88 million weights at 1000 classes; see Mixer."""
    return Mixer(class_num, 768, 12, 384, 16, img_size, drop_path_rate, epsilon)


def Mixer_B_14(class_num: int, img_size: int = 224, drop_path_rate: float = 0.0, epsilon: float = 1e-5) -> Mixer:
    """768 wide, 12 blocks, patches of 14 pixels: 60.30 million weights at 1000 classes; see Mixer."""
    return Mixer(class_num, 768, 12, 384, 14, img_size, drop_path_rate, epsilon)


class _Block(nn.Layer):
    """One MLP across tokens, one across channels, each behind a layer norm and beside a shortcut."""

    def __init__(self, tokens: int, width: int, token_hidden: int, epsilon: float, drop_path: float):
        super().__init__()
        self.norm1, self.mlp_tokens = nn.LayerNorm(width, epsilon=epsilon), _MLP(tokens, token_hidden)
        self.norm2, self.mlp_channels = nn.LayerNorm(width, epsilon=epsilon), _MLP(width, 4 * width)
        self.drop_path = drop_path

    def forward(self, x):
        mixed = self.mlp_tokens(self.norm1(x).transpose([0, 2, 1])).transpose([0, 2, 1])
        x = x + dropped(mixed, self.drop_path, self.training)
        return x + dropped(self.mlp_channels(self.norm2(x)), self.drop_path, self.training)


class _MLP(nn.Layer):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = _linear(width, hidden), _linear(hidden, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


def _linear(before: int, after: int) -> nn.Linear:
    return nn.Linear(before, after, weight_attr=nn.initializer.XavierUniform(),
                     bias_attr=nn.initializer.Normal(std=_BIAS_STD))
