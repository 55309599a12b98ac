"""The last layers of a frozen vision transformer as a function of the feature before them."""
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from paddle import Tensor, nn

from ..checks import positive_int
from ..errors import InputError
from .frozen_norm import differentiable


@dataclass(frozen=True)
class Tail:
    """What a network does with its second-to-last feature, on patch tokens alone; gradients pass, the weights stand still.

    Tokens are row by row; a class token is left out.

    Attributes:
        tap_in, tap: names of the features before and behind it, see ssld.models.tap.
        dim_in, dim_out: their channels.
        grid_in, grid_out: their height and width, positions.
        multiply_adds: of one image.
        run: tokens [B, positions before, dim_in] -> [B, positions behind, dim_out].
    """

    tap_in: str
    tap: str
    dim_in: int
    dim_out: int
    grid_in: tuple[int, int]
    grid_out: tuple[int, int]
    multiply_adds: int
    run: Callable[[Tensor], Tensor] = field(repr=False)

    def __call__(self, tokens: Tensor) -> Tensor:
        return self.run(tokens)


def tail_of(network: nn.Layer, size: tuple[int, int], blocks: int = 2) -> Tail:
    """The tail of a frozen network; its layer norms are made safe to differentiate through.

        Swin Transformer    the last patch merging, the last stage and the last layer norm
        ViT, DeiT           the last blocks and the last layer norm
        BEiT                the last blocks; the layer norm behind these sees pooled tokens only

    Args:
        network: with its weights, frozen already.
        size: height and width of the images that it sees, pixels.
        blocks: how many of a network without stages.

    Raises:
        InputError: a network of another family, or one that has no more than so many blocks.

    Source: Fan et al., arXiv:2411.06786, section 3.4, and its released code for Swin; for the others our definition, which cuts
    after the same fraction of BEiT-L/14 as the released code does.
    """
    positive_int("blocks", blocks)
    for kind in type(network).__mro__:
        family = _FAMILIES.get(f"{kind.__module__.rsplit('.', 1)[-1]}.{kind.__name__}")
        if family:
            return family(differentiable(network), size, blocks)
    known = ", ".join(sorted(name.split(".")[-1] for name in _FAMILIES))
    raise InputError(f"which layers of {type(network).__name__} come last is not known; known networks: {known}. Choose such a "
                     "teacher, or do without its layers (tpp: false).")


# Layers are run by `forward`, past the hooks by which the teacher's own features are read.

def _swin(network: nn.Layer, size: tuple[int, int], blocks: int) -> Tail:
    *_, before, last = network.layers
    grid = _patches(network, size)
    for _ in range(len(network.layers) - 2):
        grid = _halved(grid)
    inner = _halved(grid)

    def run(tokens: Tensor) -> Tensor:
        merged = before.downsample.forward(tokens, grid)
        return network.norm.forward(last.forward(merged, inner)[0])

    places, window = inner[0] * inner[1], last.blocks[0].window_size ** 2
    work = places * (_weights(before.downsample) + sum(map(_weights, last.blocks)) + 2 * window * last.dim * len(last.blocks))
    return Tail(f"layers.{len(network.layers) - 2}.blocks.{len(before.blocks) - 1}", "norm", before.dim, last.dim, grid, inner,
                work, run)


def _vit(network: nn.Layer, size: tuple[int, int], blocks: int) -> Tail:
    return _isotropic(network, size, blocks, network.norm)


def _beit(network: nn.Layer, size: tuple[int, int], blocks: int) -> Tail:
    return _isotropic(network, size, blocks, None)


def _isotropic(network: nn.Layer, size: tuple[int, int], blocks: int, norm: nn.Layer | None) -> Tail:
    """The tail of a network whose blocks are all alike."""
    depth = len(network.blocks)
    if blocks >= depth:
        raise InputError(f"tpp_blocks must be less than the {depth} blocks of {type(network).__name__}, not {blocks}.")
    last, grid, width = network.blocks[depth - blocks:], _patches(network, size), network.head.weight.shape[0]

    def run(tokens: Tensor) -> Tensor:
        for block in last:
            tokens = block.forward(tokens)
        return tokens if norm is None else norm.forward(tokens)

    places = grid[0] * grid[1]
    work = places * sum(_weights(block) + 2 * places * width for block in last)
    tap = f"blocks.{depth - 1}" if norm is None else "norm"
    return Tail(f"blocks.{depth - blocks - 1}", tap, width, width, grid, grid, work, run)


def _patches(network: nn.Layer, size: tuple[int, int]) -> tuple[int, int]:
    """Patches of an image, in height and width; those that the image does not fill count."""
    return tuple(math.ceil(side / patch) for side, patch in zip(size, network.patch_embed.proj.weight.shape[2:]))


def _halved(grid: tuple[int, int]) -> tuple[int, int]:
    return tuple((side + 1) // 2 for side in grid)


def _weights(layer: nn.Layer) -> int:
    """Entries of the matrices of its linear layers: multiply-adds of a position."""
    return sum(int(inner.weight.size) for inner in layer.sublayers() if isinstance(inner, nn.Linear))


_FAMILIES: dict[str, Callable[[nn.Layer, tuple[int, int], int], Tail]] = {
    "swin_transformer.SwinTransformer": _swin,
    "vision_transformer.VisionTransformer": _vit,
    "vit.ViT": _vit,
    "beit.BEiT": _beit,
}
