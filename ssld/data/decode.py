"""Image files to pixels: ordinary JPEG files by the fastest decoder there is, and only as far down as a crop reaches.

OpenCV, Pillow and simplejpeg all bring libjpeg-turbo and leave its settings alone (integer DCT, smooth chroma), so they
agree to the bit; they differ in speed. Whatever is no ordinary upright JPEG file goes to OpenCV, as does one that a
decoder complains of. Only where a scan has wrong bytes that no decoder notices, the wrong pixels may be others.

Pictures are turned upright after their Exif orientation unless it is to be ignored: then pixels, width and height are those
that the file's header speaks of. (A TIFF file's own field of that name is no Exif tag, and libraries always follow it.)
"""
from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Optional

import cv2
import numpy as np
from PIL.JpegImagePlugin import JpegImageFile

from dedup.images import ImageError, decode_colour, opencv_pixels
from dedup.jpeg import JpegHeader, read_jpeg_header

try:
    import simplejpeg
except ImportError:             # an extra: faster, with the same pixels
    simplejpeg = None

_BASELINE, _SEQUENTIAL, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_END = b"\xff\xd9"              # not in coded data, where 0 follows each 255
_LARGEST = 1 << 26              # pixels; the few pictures beyond that are no matter of speed
_ORIENTATION = 0x0112
_CHROMA_REACH = 2               # smooth chroma looks one chroma row further, and that is two rows of pixels

Decoder = Callable[[bytes, slice, slice, bool], np.ndarray]


def with_pillow(encoded: bytes, rows: slice, columns: slice, cut: bool) -> np.ndarray:
    """The box of a JPEG picture, uint8 [rows, columns, 3] RGB.

    Args:
        encoded: bytes of the file.
        rows, columns: the box, with start and stop.
        cut: whether the file goes on after its last row.

    Raises:
        ImageError: a damaged file.
    """
    try:
        image = JpegImageFile(io.BytesIO(encoded)).crop((columns.start, rows.start, columns.stop, rows.stop))
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # on damaged files Pillow raises nearly every class there is
        raise ImageError(str(error) or "damaged file") from error


def with_simplejpeg(encoded: bytes, rows: slice, columns: slice, cut: bool) -> np.ndarray:
    """The same by simplejpeg, which decodes whole rows."""
    try:
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=not cut)[rows, columns]
    except ValueError as error:
        raise ImageError(str(error)) from error


FASTEST: Decoder = with_pillow if simplejpeg is None else with_simplejpeg


class JpegPicture:
    """An ordinary JPEG file that is decoded when a box is cut out of it, `picture[top:bottom, left:right]`, and no
    further down than that box; np.asarray(picture) is all of it. Pixels are uint8 [H, W, 3] RGB, to be read only.

    Args:
        encoded: bytes of the file.
        header: see `ordinary_jpeg`.
        decode: one of the decoders above.
        ignore_orientation: what `header` was asked with.
    """

    def __init__(self, encoded: bytes, header: JpegHeader, decode: Decoder = FASTEST, ignore_orientation: bool = False):
        self.encoded, self.header, self.decode, self.ignore_orientation = encoded, header, decode, ignore_orientation
        self.shape = header.height, header.width, 3

    def __getitem__(self, box: tuple[slice, slice]) -> np.ndarray:
        rows, columns = box
        last = rows.stop + _CHROMA_REACH
        cut = last < self.header.height and not self.header.is_held_whole
        try:
            return self.decode(_cut(self.encoded, self.header, last) if cut else self.encoded, rows, columns, cut)
        except ImageError:
            return self._whole_by_opencv()[box]

    def __array__(self, dtype=None) -> np.ndarray:
        return self[:self.shape[0], :self.shape[1]]

    def _whole_by_opencv(self) -> np.ndarray:
        pixels = decode_any(self.encoded, self.ignore_orientation)
        if pixels.shape != self.shape:
            raise ImageError(f"the header says {self.shape[1]} x {self.shape[0]} pixels, the picture has "
                             f"{pixels.shape[1]} x {pixels.shape[0]}")
        return pixels


def decode_any(encoded: bytes, ignore_orientation: bool = False) -> np.ndarray:
    """The picture in the bytes of any file, uint8 [H, W, 3] RGB; what OpenCV cannot read, Pillow may.

    Raises:
        ImageError: no picture could be read.
    """
    pixels = opencv_pixels(encoded, cv2.IMREAD_COLOR, ignore_orientation)
    if pixels is None:
        return decode_colour(encoded, ignore_orientation).pixels
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def ordinary_jpeg(encoded: bytes, ignore_orientation: bool = False) -> Optional[JpegHeader]:
    """The header of a JPEG file whose pixels do not depend on who decodes it; None of other files.

    Those are grey or three channels of 8 bits, Huffman coded, upright (or not to be turned), not huge, and not truncated:
    decoders differ in what they put in the place of missing rows.
    """
    header = read_jpeg_header(encoded)
    if header is None or header.channels not in (1, 3) or not 0 < header.height * header.width <= _LARGEST:
        return None
    marker, bits = encoded[header.frame + 1], encoded[header.frame + 4]
    ordinary = marker in (_BASELINE, _SEQUENTIAL, _PROGRESSIVE) and bits == 8
    whole = encoded.rfind(_END, header.scan) > 0
    upright = ignore_orientation or _orientation(encoded, header.app1) == 1
    return header if ordinary and whole and upright else None


def _orientation(encoded: bytes, app1: int) -> int:
    """What the Exif block in an APP1 segment says about the orientation; 1 (upright) if nothing."""
    tiff = app1 + 10                                    # marker, length, "Exif\0\0"
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(encoded[tiff:tiff + 4])
    if app1 < 0 or order is None:
        return 1
    try:
        entries = tiff + struct.unpack_from(f"{order}I", encoded, tiff + 4)[0]
        count, = struct.unpack_from(f"{order}H", encoded, entries)
        for entry in range(entries + 2, entries + 2 + 12 * count, 12):
            if struct.unpack_from(f"{order}H", encoded, entry)[0] == _ORIENTATION:
                return struct.unpack_from(f"{order}H", encoded, entry + 8)[0]
    except struct.error:                                # the block ends before what it announces
        pass
    return 1


def _cut(encoded: bytes, header: JpegHeader, rows: int) -> bytes:
    """The file of a picture that ends after `rows` rows: decoders stop there, and skip the rest of the scan."""
    height = header.frame + 5
    view = memoryview(encoded)
    return b"".join((view[:height], rows.to_bytes(2, "big"), view[height + 2:]))
