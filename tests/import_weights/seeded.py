"""Weights that two frameworks can make alike: each tensor from its name and shape alone."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_SMALL = ("pos_embed", "pos_embedding", "cls_token", "class_token", "dist_token", "relative_position_bias_table")
_SCALES = ("gamma", "gamma_1", "gamma_2", "layer_scale")


def tensor(name: str, shape: Sequence[int]) -> np.ndarray:
    """One tensor, of a size that keeps what flows through the network near 1."""
    rng, leaf = np.random.default_rng(list(name.encode())), name.rsplit(".", 1)[-1]
    if leaf in ("num_batches_tracked", "relative_position_index"):
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    noise = rng.normal(size=shape)
    if leaf in _SMALL:
        noise *= 0.3
    elif leaf in _SCALES or (leaf == "weight" and len(shape) == 1):
        noise = 1 + 0.1 * noise
    else:
        noise *= 0.1 if len(shape) == 1 else np.prod(shape[1:]) ** -0.5
    return noise.astype(np.float32)


def tensors(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """All tensors of a network."""
    return {name: tensor(name, shape) for name, shape in shapes.items()}


def images(size: int) -> np.ndarray:
    """Two pictures, float32 [2, 3, size, size]."""
    return np.random.default_rng(size).normal(size=(2, 3, size, size)).astype(np.float32)
