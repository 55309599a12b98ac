"""An exported model held against the network that it was made from, on real images."""
from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import paddle
from paddle import nn

from ..data.dataset import ManifestDataset, Visit
from ..errors import InputError
from ..teachers.eager import freeze

TOLERANCE = 1e-4                # of the largest logit; float32 rounding in another order of summation
_IMAGES = 256
_BATCH = 32
Program = Callable[[np.ndarray], np.ndarray]        # float32 [B, 3, H, W] -> logits float32 [B, class_num]


class Comparison(NamedTuple):
    """What a model's logits are to those of the network.

    Attributes:
        difference: largest difference of a logit, relative to the largest logit.
        same_top1: share of images that get the same class, in [0, 1].
    """

    difference: float
    same_top1: float


class Exported(NamedTuple):
    """An exported model.

    Attributes:
        engine: what runs it.
        program: runs it.
        compared: its logits and the network's.
    """

    engine: str
    program: Program
    compared: Comparison


def sample_images(dataset: ManifestDataset, count: int = _IMAGES) -> np.ndarray:
    """Images from all over a list, float32 [at most `count`, 3, H, W].

    Raises:
        InputError: images of several sizes.
    """
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int))
    images = [dataset[Visit(int(row), 0)]["image"] for row in rows]
    sizes = sorted({image.shape[1:] for image in images})
    if len(sizes) > 1:
        raise InputError(f"the images of {dataset.manifest.source} have several sizes, such as {sizes[0]} and {sizes[-1]}. "
                         "Add ResizeImage and CropImage to transform_ops.")
    return np.stack(images)


def network_logits(network: nn.Layer, images: np.ndarray) -> np.ndarray:
    """The logits of a network in evaluation mode, float32 [B, class_num]."""
    freeze(network)
    with paddle.no_grad():
        return in_batches(lambda batch: network(paddle.to_tensor(batch)).numpy(), images)


def in_batches(program: Program, images: np.ndarray) -> np.ndarray:
    """The logits of a program for any number of images."""
    return np.concatenate([program(images[first:first + _BATCH]) for first in range(0, len(images), _BATCH)])


def compare(expected: np.ndarray, found: np.ndarray) -> Comparison:
    """Two arrays of logits, [B, class_num]."""
    difference = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12)
    return Comparison(float(difference), float((found.argmax(1) == expected.argmax(1)).mean()))


def check_equal(what: str, expected: np.ndarray, found: np.ndarray) -> Comparison:
    """The comparison of two arrays of logits that are the same but for rounding.

    Raises:
        InputError: they are not.
    """
    compared = compare(expected, found)
    if not compared.difference <= TOLERANCE:
        raise InputError(f"{what} differs from the network by {compared.difference:.2g} of the largest logit, more than "
                         f"{TOLERANCE}, and gives the same class to {100 * compared.same_top1:.1f} % of {len(expected)} "
                         "images. Nothing was written. Leave this format out, or report it with the backbone's name.")
    return compared
