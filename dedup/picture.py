"""What dedup knows about one picture."""
from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, Optional

import cv2
import numpy as np

from . import hashes, sift
from .images import Decoded, decode_colour, decode_grey, working_image
from .options import Options
from .sift import Features

THUMBNAIL = 160                 # pixels on the longer side
LOCAL_FEATURES = 4              # key points below which a picture counts as flat
SPARSE = 16                     # key points below which copies cannot be counted on to share five of them
_FEW = 64                       # key points below which a second look is worth its time, where full detail is not asked for
_FAINT = 0.3                    # of the detector's contrast, for that look
_SMALLEST_FILE = 8              # pixels on a side


class View(NamedTuple):
    """What the geometric check sees of a picture: features and size in working pixels, a uint8 thumbnail."""

    features: Features
    shape: tuple
    thumbnail: np.ndarray

    def mirrored(self) -> View:
        """The same after exchanging left and right."""
        return View(self.features.mirrored(self.shape[1]), self.shape, self.thumbnail[:, ::-1])


class Picture(NamedTuple):
    """Everything known of a picture.

    Args:
        coefficients: float32 [16, 16], its hash before the signs are taken.
        quality: of the hash, in [0, 100].
        view: for the geometric check.
        shape: height and width in the file, upright.
        truncated: is a part of the file missing?
        colour: mean red, green and blue, float64 [3] in [0, 255], of a sparse picture; None where nobody asks.
    """

    coefficients: np.ndarray
    quality: int
    view: View
    shape: tuple
    truncated: bool
    colour: Optional[np.ndarray]

    @property
    def is_flat(self) -> bool:
        """Without local features: hash and embedding are all there is."""
        return len(self.view.features.sizes) < LOCAL_FEATURES


def describe(data: bytes, options: Options, size: Optional[int] = None) -> Picture:
    """The picture in the bytes of a file.

    A picture with few key points gets a second look, for fainter ones, at `options.size`: a crop of a calm part has no
    others to be found by. Flat pictures live by their hash, and hashes compare best at one size.

    Args:
        data: the bytes.
        options: how to describe.
        size: longer side of the working image, pixels. By default it is `options.size`, and all detail counts: fewer
            than `options.keypoints` are few.

    Raises:
        ImageError: no picture could be read.
    """
    picture = _describe(data, options, size or options.size)
    found = len(picture.view.features.sizes)
    if found < (_FEW if size else options.keypoints):
        picture = _describe(data, replace(options, contrast=_FAINT * options.contrast), options.size)
    return picture._replace(colour=mean_colour(data)) if found < SPARSE else picture


def _describe(data: bytes, options: Options, size: int) -> Picture:
    """All but the mean colour."""
    decoded: Decoded = decode_grey(data, size)
    grey = working_image(decoded.pixels, size, options.enlarge_below)
    shape = decoded.height, decoded.width
    is_tiny = min(shape) < _SMALLEST_FILE
    features = Features.none() if is_tiny else sift.extract(grey, options.keypoints, options.contrast)
    reduced = hashes.reduce(grey)
    return Picture(hashes.coefficients(reduced), hashes.quality(reduced), View(features, grey.shape, thumbnail(grey)),
                   shape, decoded.truncated, None)


def thumbnail(grey: np.ndarray) -> np.ndarray:
    """The picture at a longer side of 160 pixels, uint8."""
    factor = THUMBNAIL / max(grey.shape)
    height, width = (max(1, round(side * factor)) for side in grey.shape)
    return cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)


def mean_colour(data: bytes) -> np.ndarray:
    """Mean red, green and blue of the picture in the bytes of a file, float64 [3] in [0, 255]."""
    return decode_colour(data).pixels.reshape(-1, 3).mean(axis=0)
