"""Any image file in one convention: upright, 8 bits, alpha over white, first frame; colour as RGB.

The decoder of OpenCV reads ordinary JPEG files, at reduced size where that is enough. Everything else takes a
slower path that first asks Pillow what the file holds, because OpenCV drops alpha and Pillow saturates 16 bits.
"""
from __future__ import annotations

import io
import os
from typing import NamedTuple, Optional

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

MAX_PIXELS = 100_000_000
MAX_JPEG_PIXELS = 4 * MAX_PIXELS        # decoded reduced, but progressive files are held whole: 3 bytes a pixel
MAX_BYTES = 1 << 29
_TIFF_BITS = 258
_ORIENTATION = 0x0112
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}      # markers without a length
_SCAN = 0xDA


class ImageError(Exception):
    """A file that yields no picture: missing, empty, corrupt, too large, or not an image."""


class Decoded(NamedTuple):
    """A picture as read: `pixels` uint8 [H, W] or [H, W, 3] RGB, perhaps reduced; size of the file; truncated?"""

    pixels: np.ndarray
    height: int
    width: int
    truncated: bool


def read_bytes(path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: the file cannot be opened, is empty, or is larger than 512 MiB.
    """
    try:
        size = os.path.getsize(path)
        if size > MAX_BYTES:
            raise ImageError(f"{size} bytes are more than the {MAX_BYTES} a picture may have")
        with open(path, "rb") as file:
            data = file.read()
    except (OSError, ValueError) as error:
        raise ImageError(getattr(error, "strerror", None) or str(error)) from error
    if not data:
        raise ImageError("the file is empty")
    return data


def read_colour(path) -> np.ndarray:
    """The picture in a file as uint8 [H, W, 3] RGB; JPEG files of more than 100 megapixels come reduced.

    Raises:
        ImageError: no picture could be read.
    """
    return decode_colour(read_bytes(path)).pixels


def decode_colour(data: bytes) -> Decoded:
    """The picture in the bytes of a file, uint8 [H, W, 3] RGB."""
    header = _jpeg_header(data)
    if header:
        reduction = 1 if header.height * header.width <= MAX_PIXELS else 8
        flag = cv2.IMREAD_COLOR if reduction == 1 else cv2.IMREAD_REDUCED_COLOR_8
        pixels = _opencv(data, flag)
        if pixels is not None:
            return _of_jpeg(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), reduction, header, data)
    pixels = _decode_any(data)
    return Decoded(pixels, *pixels.shape[:2], False)


def decode_grey(data: bytes, size: int) -> Decoded:
    """The picture in the bytes of a file, uint8 [H, W] luma; its longer side may be reduced, but not below `size`."""
    header = _jpeg_header(data)
    if header:
        longer = max(header.height, header.width)
        reduction = next(r for r in (8, 4, 2, 1) if r == 1 or longer >= r * size)
        pixels = _opencv(data, _GREY_FLAGS[reduction])
        if pixels is not None:
            return _of_jpeg(pixels, reduction, header, data)
    colour = _decode_any(data)
    return Decoded(cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY), *colour.shape[:2], False)


_GREY_FLAGS = {1: cv2.IMREAD_GRAYSCALE, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
               4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 8: cv2.IMREAD_REDUCED_GRAYSCALE_8}


class _JpegHeader(NamedTuple):
    height: int
    width: int
    channels: int
    scan: int           # where the first scan starts


def _jpeg_header(data: bytes) -> Optional[_JpegHeader]:
    """The header of a grey or colour JPEG file; None for CMYK and whatever else there is.

    Raises:
        ImageError: so large that a progressive file would not fit into memory, reduced or not.
    """
    header = _scan_header(data)
    if header is None or header.channels not in (1, 3):
        return None
    if header.height * header.width > MAX_JPEG_PIXELS:
        raise ImageError(f"{header.width} x {header.height} pixels are more than {MAX_JPEG_PIXELS}")
    return header


def _scan_header(data: bytes) -> Optional[_JpegHeader]:
    """What the segments in front of the first scan say; None if this is no JPEG file."""
    if data[:2] != b"\xff\xd8":
        return None
    position, frame = 2, None
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _JPEG_BARE:
            position += 2
        elif marker == _SCAN:
            return _JpegHeader(*frame, position) if frame else None
        else:
            if marker in _JPEG_FRAMES:
                frame = (int.from_bytes(data[position + 5:position + 7], "big"),
                         int.from_bytes(data[position + 7:position + 9], "big"), data[position + 9])
            position += 2 + int.from_bytes(data[position + 2:position + 4], "big")
    return None


def _of_jpeg(pixels: np.ndarray, reduction: int, header: _JpegHeader, data: bytes) -> Decoded:
    height, width = header.height, header.width
    if pixels.shape[:2] != (-(-height // reduction), -(-width // reduction)):
        height, width = width, height           # turned upright by the decoder
    return Decoded(pixels, height, width, truncated=data.find(b"\xff\xd9", header.scan) < 0)


def _opencv(data: bytes, flag: int) -> Optional[np.ndarray]:
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error:           # among others: more than 2^30 pixels
        return None


def _decode_any(data: bytes) -> np.ndarray:
    """RGB pixels of any file Pillow knows, upright."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS}, and only "
                                 "JPEG can be decoded reduced")
            image.load()        # before asking for the orientation: both libraries turn TIFF files on their own
            pixels = _deep_rgb(data, image) if _is_deep(data, image) else _rgb(image)
            return _upright(pixels, image.getexif().get(_ORIENTATION, 1))
    except ImageError:
        raise
    except UnidentifiedImageError as error:     # its own message holds a memory address, which no two runs share
        raise ImageError("neither OpenCV nor Pillow knows this format") from error
    except Exception as error:  # the decoders of Pillow raise nearly every class there is on damaged files
        raise ImageError(str(error) or "damaged file") from error


def _is_deep(data: bytes, image: Image.Image) -> bool:
    """More than 8 bits per channel?"""
    if image.mode.startswith("I") or image.mode == "F":
        return True
    if image.format == "PNG":
        return data[24] == 16
    return image.format == "TIFF" and max(np.atleast_1d(image.tag_v2.get(_TIFF_BITS, 8))) > 8


def _deep_rgb(data: bytes, image: Image.Image) -> np.ndarray:
    pixels = _opencv(data, cv2.IMREAD_UNCHANGED)
    if pixels is not None and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    elif pixels is None:
        pixels = np.asarray(image)
    if pixels.dtype.kind not in "ui":
        raise ImageError(f"pixels of type {pixels.dtype} have no agreed white")
    if pixels.dtype != np.uint8:
        pixels = ((np.clip(pixels, 0, 65535).astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return _over_white(pixels) if pixels.shape[2] == 4 else pixels


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:].astype(np.uint32)
    return ((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


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
