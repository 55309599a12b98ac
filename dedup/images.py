"""Any image file in one convention: upright, 8 bits, alpha over white, first frame; colour as RGB.

The decoder of OpenCV reads ordinary JPEG files, at reduced size where that is enough. Everything else takes a
slower path that first asks Pillow what the file holds, because OpenCV drops alpha and Pillow saturates 16 bits.
"""
from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple, Optional

import cv2
import numpy as np

from . import tars
from .convert import ImageError, opencv_pixels, to_rgb
from .jpeg import JpegHeader, read_jpeg_header

MAX_PIXELS = 100_000_000
MAX_JPEG_PIXELS = 4 * MAX_PIXELS        # decoded reduced, row by row
MAX_BYTES = 1 << 29


class Decoded(NamedTuple):
    """A picture as read: `pixels` uint8 [H, W] or [H, W, 3] RGB, perhaps reduced; size of the file; truncated?"""

    pixels: np.ndarray
    height: int
    width: int
    truncated: bool


def read_bytes(path) -> bytes:
    """The bytes of an image file, or of a member of a tar file: `folder/shard-000.tar/inner/name.jpg`.

    Raises:
        ImageError: the file cannot be opened, is empty, or is larger than 512 MiB.
    """
    try:
        place = tars.split(os.fspath(path))
        data = _read_file(path) if place is None else tars.read_member(*place, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise ImageError(getattr(error, "strerror", None) or str(error)) from error
    if not data:
        raise ImageError("the file is empty")
    return data


def size_in_bytes(path) -> int:
    """The number of bytes of an image file or of a member of a tar file; -1 if there is none."""
    try:
        place = tars.split(os.fspath(path))
        return os.path.getsize(path) if place is None else tars.member_size(*place)
    except (OSError, ValueError):
        return -1


def _read_file(path) -> bytes:
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file")       # reading it might never end
    if status.st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes are more than the {MAX_BYTES} a picture may have")
    with open(path, "rb") as file:
        return file.read()


def read_colour(path) -> np.ndarray:
    """The picture in a file as uint8 [H, W, 3] RGB; JPEG files of more than 100 megapixels come reduced.

    Raises:
        ImageError: no picture could be read.
    """
    return decode_colour(read_bytes(path)).pixels


def decode_colour(data: bytes, ignore_orientation: bool = False) -> Decoded:
    """The picture in the bytes of a file, uint8 [H, W, 3] RGB; upright, unless its Exif orientation is to be ignored."""
    header = _jpeg_header(data)
    if header:
        reduction = 1 if header.height * header.width <= MAX_PIXELS else 8
        flag = cv2.IMREAD_COLOR if reduction == 1 else cv2.IMREAD_REDUCED_COLOR_8
        pixels = opencv_pixels(data, flag, ignore_orientation)
        if pixels is not None:
            return _of_jpeg(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), reduction, header, data)
    pixels = to_rgb(data, MAX_PIXELS, ignore_orientation)
    return Decoded(pixels, *pixels.shape[:2], False)


def decode_grey(data: bytes, size: int) -> Decoded:
    """The picture in the bytes of a file, uint8 [H, W] luma; its longer side may be reduced, but not below `size`."""
    header = _jpeg_header(data)
    if header:
        longer = max(header.height, header.width)
        reduction = next(r for r in (8, 4, 2, 1) if r == 1 or longer >= r * size)
        pixels = opencv_pixels(data, _GREY_FLAGS[reduction])
        if pixels is not None:
            return _of_jpeg(pixels, reduction, header, data)
    colour = to_rgb(data, MAX_PIXELS)
    return Decoded(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), *colour.shape[:2], False)


_GREY_FLAGS = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
               4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}


def _jpeg_header(data: bytes) -> Optional[JpegHeader]:
    """The header of a grey or colour JPEG file; None for CMYK and whatever else there is.

    Raises:
        ImageError: so large that it would not fit into memory, reduced or not.
    """
    header = read_jpeg_header(data)
    if header is None or header.channels not in (1, 3):
        return None
    limit = MAX_PIXELS if header.is_held_whole else MAX_JPEG_PIXELS
    if header.height * header.width > limit:
        kind = "progressive JPEG, which is decoded as a whole" if header.is_held_whole else "JPEG"
        raise ImageError(f"{header.width} x {header.height} pixels are more than {limit}, the limit of a {kind}")
    return header


def _of_jpeg(pixels: np.ndarray, reduction: int, header: JpegHeader, data: bytes) -> Decoded:
    height, width = header.height, header.width
    if pixels.shape[:2] != (-(-height // reduction), -(-width // reduction)):
        height, width = width, height           # turned upright by the decoder
    return Decoded(pixels, height, width, truncated=data.rfind(b"\xff\xd9", header.scan) < 0)


def working_image(grey: np.ndarray, size: int, enlarge_below: int) -> np.ndarray:
    """Reduce to a longer side of `size` (area), or enlarge what is smaller than `enlarge_below` (cubic, at most x4)."""
    longer = max(grey.shape)
    if longer > size:
        return _scaled(grey, size / longer, cv2.INTER_AREA)
    if longer < enlarge_below:
        return _scaled(grey, min(4.0, size / longer), cv2.INTER_CUBIC)
    return grey


def _scaled(pixels: np.ndarray, factor: float, interpolation: int) -> np.ndarray:
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=interpolation)
