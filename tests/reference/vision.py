"""Parts of vision networks in float64; layers are those of the network under test, of which only the weights are read."""
from __future__ import annotations

import math

import numpy as np


def values(tensor) -> np.ndarray:
    return tensor.numpy().astype(np.float64)


def norm(x, layer, epsilon=1e-6):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon) * values(layer.weight) + values(layer.bias)


def linear(x, layer):
    return x @ values(layer.weight) + values(layer.bias)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def mlp(x, layer):
    hidden = linear(x, layer.fc1)
    return linear(hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2, layer.fc2)


def patches(image, convolution):
    """Tokens [B, N, width] of images [B, 3, S, S], patch by patch, row by row."""
    kernel, side = values(convolution.weight), convolution.weight.shape[2]
    tokens = [np.tensordot(image[:, :, row:row + side, column:column + side], kernel, ([1, 2, 3], [1, 2, 3]))
              for row in range(0, image.shape[2], side) for column in range(0, image.shape[3], side)]
    return np.stack(tokens, 1) + values(convolution.bias)


def block(x, layer, heads):
    """Attention head by head, then the MLP."""
    width = x.shape[2]
    qkv, seen = linear(norm(x, layer.norm1), layer.attn.qkv), []
    for head in range(heads):
        query, key, value = (qkv[:, :, part * width + head * width // heads:part * width + (head + 1) * width // heads]
                             for part in range(3))
        seen.append(softmax(query @ key.transpose(0, 2, 1) / np.sqrt(width // heads)) @ value)
    x = x + linear(np.concatenate(seen, 2), layer.attn.proj)
    return x + mlp(norm(x, layer.norm2), layer.mlp)
