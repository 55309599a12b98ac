"""What a JPEG file says about itself before it is decoded."""
from __future__ import annotations

from typing import NamedTuple, Optional

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_BARE = frozenset(range(0xD0, 0xD8)) | {0x01}           # markers without a length
_SCAN = 0xDA
_APP1 = 0xE1


class JpegHeader(NamedTuple):
    """Size in pixels, number of channels, where the first scan starts, and whether a decoder must hold the whole picture.

    That is so where a scan brings only a part of all coefficients: six bytes a pixel, at whatever size it is decoded.
    Then where the frame's marker stands (size and kind of coding), and the first APP1 marker (Exif); -1 if there is none.
    """

    height: int
    width: int
    channels: int
    scan: int
    is_held_whole: bool
    frame: int
    app1: int


def read_jpeg_header(data: bytes) -> Optional[JpegHeader]:
    """What the segments in front of the first scan say; None if this is no JPEG file."""
    if data[:2] != b"\xff\xd8":
        return None
    position, frame, progressive, start, app1 = 2, None, False, -1, -1
    while position + 10 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _BARE:
            position += 2
        elif marker == _SCAN:
            partial = frame is not None and data[position + 4] < frame[2]
            return JpegHeader(*frame, position, progressive or partial, start, app1) if frame else None
        else:
            if marker in _FRAMES:
                frame = (int.from_bytes(data[position + 5:position + 7], "big"),
                         int.from_bytes(data[position + 7:position + 9], "big"), data[position + 9])
                progressive, start = marker in _PROGRESSIVE, position
            elif marker == _APP1 and app1 < 0:
                app1 = position
            position += 2 + int.from_bytes(data[position + 2:position + 4], "big")
    return None
