"""Any format that Pillow knows, converted to one: upright, 8 bits, RGB, alpha over white, first frame.

Sixteen bits are read by OpenCV, since Pillow saturates or cuts them.
"""
from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Optional

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

_TIFF_BITS = 258
_ORIENTATION = 0x0112
_STRIP = 1 << 20                # pixels converted at once: copies of a huge picture in other types would fill the memory
_EIGHT_BITS = ((np.arange(65536) + 128) // 257).astype(np.uint8)


class ImageError(Exception):
    """A file that yields no picture: missing, empty, corrupt, too large, or not an image."""


def opencv_pixels(data: bytes, flag: int, ignore_orientation: bool = False) -> Optional[np.ndarray]:
    """What OpenCV reads from the bytes of a file, with a flag such as cv2.IMREAD_COLOR; None if it cannot."""
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION * ignore_orientation)
    except cv2.error:           # among others: more than 2^30 pixels
        return None


def to_rgb(data: bytes, max_pixels: int, ignore_orientation: bool = False) -> np.ndarray:
    """The picture in the bytes of a file of any format that Pillow knows, uint8 [H, W, 3], upright unless told not to be.

    Raises:
        ImageError: no picture could be read, or it has more than `max_pixels`.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(f"{image.width} x {image.height} pixels are more than {max_pixels}, and only "
                                 "JPEG can be decoded reduced")
            image.load()        # before asking for the orientation: both libraries turn TIFF files on their own
            pixels = _deep_rgb(data, image) if _is_deep(data, image) else _rgb(image)
            return _upright(pixels, 1 if ignore_orientation else _orientation(image))
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
    pixels = opencv_pixels(data, cv2.IMREAD_UNCHANGED)
    if pixels is None:
        if not image.mode.startswith(("I", "F")):       # Pillow has already made 8 bits of it
            return _rgb(image)
        pixels = np.asarray(image)
    if pixels.dtype.kind not in "ui":
        raise ImageError(f"pixels of type {pixels.dtype} have no agreed white")
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for rows in _strips(*rgb.shape[:2]):
        strip = pixels[rows]
        if strip.dtype != np.uint8:
            strip = _EIGHT_BITS[np.clip(strip, 0, 65535)]
        if strip.ndim == 2:
            rgb[rows] = strip[:, :, None]
        else:                   # blue comes first, and alpha last
            rgb[rows] = _over_white(strip[:, :, [2, 1, 0, 3]]) if strip.shape[2] == 4 else strip[:, :, ::-1]
    return rgb


def _rgb(image: Image.Image) -> np.ndarray:
    has_alpha = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for rows in _strips(*rgb.shape[:2]):
        strip = image.crop((0, rows.start, image.width, rows.stop))
        rgb[rows] = _over_white(np.asarray(strip.convert("RGBA"))) if has_alpha else np.asarray(strip.convert("RGB"))
    return rgb


def _strips(height: int, width: int) -> Iterator[slice]:
    step = max(1, _STRIP // width)
    return (slice(top, min(top + step, height)) for top in range(0, height, step))


def _over_white(rgba: np.ndarray) -> np.ndarray:
    alpha = rgba[:, :, 3:].astype(np.uint32)
    return ((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or what stands there makes no sense."""
    try:
        found = image.getexif().get(_ORIENTATION)
    except Exception:           # of a damaged block; Pillow raises several classes, and the picture is sound
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation, 1 to 8."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
