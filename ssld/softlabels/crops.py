"""The crops of an image, drawn so that nothing but the seed and the image's path decides what they are."""
from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import InputError

LONGEST_SIDE = 32_767           # the highest bit of a coordinate holds the flip
_ATTEMPTS = 10
DRAWS = 2 * _ATTEMPTS + 3       # area and ratio of each attempt; top, left and flip


class Crops(NamedTuple):
    """Regions of one image.

    Attributes:
        box: int64 [n, 4], top, left, height, width in pixels of the decoded, un-flipped image, whose EXIF orientation is
            ignored.
        flip: bool [n], whether the region is mirrored.
    """

    box: np.ndarray
    flip: np.ndarray


def draw_crops(seed: int, key: str, width: int, height: int, count: int, scale: Sequence[float] = (0.08, 1.0),
               ratio: Sequence[float] = (3 / 4, 4 / 3)) -> Crops:
    """Random resized crops, each mirrored with probability 1/2.

    Crop j depends on the seed, the key and the size of the image alone: not on `count`, on other images or on what was drawn
    before.

    Args:
        seed: of the store.
        key: path of the image as the list has it.
        width, height: of the decoded image, in pixels.
        count: how many.
        scale: smallest and largest area, as shares of the image.
        ratio: smallest and largest width / height.

    Raises:
        InputError: a side of less than 1 or more than 32,767 pixels.

    Source: torchvision's RandomResizedCrop; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    check_size(key, width, height)
    return crops_from(_uniform(seed, key, count), width, height, scale, ratio)


def check_size(key: str, width: int, height: int) -> None:
    """Refuse sides that a record cannot hold.

    Raises:
        InputError: naming the image and its size.
    """
    if not (1 <= width <= LONGEST_SIDE and 1 <= height <= LONGEST_SIDE):
        raise InputError(f"{key} has {width} x {height} pixels; crops are stored of images whose sides have 1 to "
                         f"{LONGEST_SIDE:,} pixels. Resize it, or take it off the list.")


def crops_from(uniform: np.ndarray, width: int, height: int, scale: Sequence[float], ratio: Sequence[float]) -> Crops:
    """The crops that draws lead to.

    Args:
        uniform: float64 [n, 23] in [0, 1): area and ratio of ten attempts, interleaved; top, left, flip. The first attempt
            whose crop fits inside the image counts; if none does, it is the largest centred crop within the ratios.
        width, height, scale, ratio: as of `draw_crops`.
    """
    attempts = uniform[:, :2 * _ATTEMPTS].reshape(len(uniform), _ATTEMPTS, 2)
    area = width * height * (scale[0] + (scale[1] - scale[0]) * attempts[:, :, 0])
    low, high = np.log(ratio)
    aspect = np.exp(low + (high - low) * attempts[:, :, 1])
    sides = np.rint(np.sqrt(np.stack([area / aspect, area * aspect], axis=2))).astype(np.int64)      # height, width
    fits = ((sides > 0) & (sides <= (height, width))).all(axis=2)
    found, first = fits.any(axis=1), fits.argmax(axis=1)
    size = np.where(found[:, None], sides[np.arange(len(uniform)), first], _centred(width, height, ratio))
    room = (height, width) - size
    place = np.where(found[:, None], np.floor(uniform[:, -3:-1] * (room + 1)).astype(np.int64), room // 2)
    return Crops(np.concatenate([place, size], axis=1), uniform[:, -1] < 0.5)


def _centred(width: int, height: int, ratio: Sequence[float]) -> tuple[int, int]:
    """Height and width of the largest crop whose ratio is allowed."""
    if width / height < ratio[0]:
        return max(round(width / ratio[0]), 1), width
    if width / height > ratio[1]:
        return height, max(round(height * ratio[1]), 1)
    return height, width


def _uniform(seed: int, key: str, count: int) -> np.ndarray:
    """float64 [count, 23] in [0, 1). The raw numbers are taken, since only they stay the same in all versions of numpy."""
    digest = hashlib.blake2b(f"{seed}\n{key}".encode("utf-8", "surrogateescape"), digest_size=16).digest()
    raw = np.random.Philox(key=int.from_bytes(digest, "little")).random_raw(count * DRAWS)
    return (raw >> np.uint64(11)).reshape(count, DRAWS) * 2.0 ** -53
