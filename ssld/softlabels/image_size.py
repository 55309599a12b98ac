"""How large a picture is, from the first bytes of its file."""
from __future__ import annotations

import io
import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from dedup import tars
from dedup.images import ImageError, read_bytes
from dedup.jpeg import read_jpeg_header

_HEAD = 1 << 16                 # bytes; the frame of nearly all JPEG files begins before


def image_size(file: str | Path) -> tuple[int, int]:
    """Width and height in pixels as they are coded: the picture is not decoded, and its EXIF orientation is ignored.

    Args:
        file: an image of any format that Pillow knows, also as a member of a tar file.

    Raises:
        ImageError: no such file, or no picture in it.
    """
    if tars.split(os.fspath(file)) is not None:
        head = read_bytes(file)
        return _size(head, io.BytesIO(head))
    try:
        with open(file, "rb") as stream:
            return _size(stream.read(_HEAD), stream)
    except OSError as error:
        raise ImageError(error.strerror or str(error)) from error


def _size(head: bytes, stream) -> tuple[int, int]:
    header = read_jpeg_header(head)
    if header is not None and header.width and header.height:
        return header.width, header.height
    try:
        stream.seek(0)
        with Image.open(stream) as image:
            return image.size
    except UnidentifiedImageError as error:
        raise ImageError("not a format that Pillow knows") from error
    except Exception as error:          # on damaged files Pillow raises nearly every class there is
        raise ImageError(str(error) or "damaged file") from error
