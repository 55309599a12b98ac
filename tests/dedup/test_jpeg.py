import io

import pytest
from PIL import Image

from dedup.jpeg import read_jpeg_header


def jpeg(mode="RGB", **options):
    buffer = io.BytesIO()
    Image.new(mode, (50, 30)).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode, channels", [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_the_header_says_size_and_channels(mode, channels):
    data = jpeg(mode, exif=bytes(100), comment=b"\xff\xc0 is no frame")
    header = read_jpeg_header(data)
    assert (header.height, header.width, header.channels, header.is_held_whole) == (30, 50, channels, False)
    assert data[header.scan:header.scan + 2] == b"\xff\xda"


def test_a_file_of_several_scans_is_held_whole():
    assert read_jpeg_header(jpeg(progressive=True)).is_held_whole
    data = jpeg()
    scan = read_jpeg_header(data).scan
    assert read_jpeg_header(data[:scan + 4] + b"\x01" + data[scan + 5:]).is_held_whole      # one channel in the first scan


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8" + b"\xff" * 50, jpeg()[:100],
                                  b"\xff\xd8\xff\xda" + bytes(20)])
def test_what_has_no_whole_header_is_no_jpeg(data):
    assert read_jpeg_header(data) is None
