"""Features as maps [B, C, H, W] or as tokens [B, H * W, C], row by row, whatever the network gives."""
from __future__ import annotations

from paddle import Tensor

from ..errors import InputError

_EXTRA_TOKENS = 2               # class token and distillation token, which stand before the grid


def grid_of(name: str, shape: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the map that a feature is.

    Args:
        name: of the feature, for the error.
        shape: of the feature without the batch axis: (C, H, W), or (N, C) of tokens that lie as the image does.
        size: height and width of the image, pixels.

    Raises:
        InputError: a vector, or tokens that are no grid of the image's proportions.
    """
    if len(shape) == 3:
        return shape[1:]
    found = [grid for extra in range(_EXTRA_TOKENS + 1) for grid in _grids(shape[0] - extra, size)] if len(shape) == 2 else []
    if not found:
        raise InputError(f"feature '{name}' has the shape {list(shape)} for an image of {size[0]} x {size[1]} pixels: expected "
                         f"a map [C, H, W], or tokens [N, C] that are a grid of the image's proportions with at most "
                         f"{_EXTRA_TOKENS} tokens before it. Name another feature.")
    return found[0]


def as_map(feature: Tensor, grid: tuple[int, int]) -> Tensor:
    """[B, C, *grid] of a map, or of tokens [B, N, C] without those before the grid."""
    if feature.ndim == 4:
        return feature
    tokens = as_tokens(feature, grid).transpose([0, 2, 1])
    return tokens.reshape([tokens.shape[0], tokens.shape[1], *grid])


def as_tokens(feature: Tensor, grid: tuple[int, int]) -> Tensor:
    """[B, H * W, C] of a map, or of tokens [B, N, C] without those before the grid."""
    if feature.ndim == 4:
        return feature.flatten(2).transpose([0, 2, 1])
    return feature[:, feature.shape[1] - grid[0] * grid[1]:]


def channels_of(shape: tuple[int, ...]) -> int:
    """C of (C, H, W) or (N, C)."""
    return shape[0] if len(shape) == 3 else shape[-1]


def _grids(count: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """The grids of `count` positions with the proportions of an image; one or none."""
    return [(height, count // height) for height in range(1, count + 1)
            if count % height == 0 and height * size[1] == count // height * size[0]]
