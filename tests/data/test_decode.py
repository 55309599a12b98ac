"""JPEG files of every ordinary kind, decoded whole and in part by each decoder, against OpenCV."""
from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from dedup.images import ImageError
from dedup.jpeg import read_jpeg_header
from ssld.data import decode
from ssld.data.decode import JpegPicture, decode_any, ordinary_jpeg

DECODERS = [decode.with_pillow, *([decode.with_simplejpeg] if decode.simplejpeg else [])]
COLOURS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
SIZES = [(61, 45), (64, 48), (17, 33), (1, 1), (8, 200), (35, 16)]


def photograph(height, width, seed=0):
    """Smooth colours, edges and noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3 + height // 12, 3 + width // 12, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + rng.normal(0, 9, image.shape), 0, 255).astype(np.uint8)


def jpeg(height=61, width=45, mode="RGB", seed=0, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(photograph(height, width, seed)).convert(mode).save(stream, "JPEG", **{"quality": 88, **options})
    return stream.getvalue()


def by_opencv(encoded: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def every_cut_agrees(encoded: bytes, decoder) -> bool:
    """Whether the picture down to each of its rows is that of OpenCV."""
    picture, expected = JpegPicture(encoded, ordinary_jpeg(encoded), decoder), by_opencv(encoded)
    height, width = expected.shape[:2]
    whole = np.array_equal(np.asarray(picture), expected) and picture.shape == expected.shape
    return whole and all(np.array_equal(picture[stop // 3:stop, width // 4:width], expected[stop // 3:stop, width // 4:])
                         for stop in range(1, height + 1))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("subsampling", COLOURS)
def test_every_box_has_the_pixels_of_opencv(decoder, size, subsampling):
    assert every_cut_agrees(jpeg(*size, subsampling=COLOURS[subsampling]), decoder)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", ["4:4:0", "4:1:1"])
def test_unusual_chroma_has_them_too(decoder, kind):
    simplejpeg = pytest.importorskip("simplejpeg")          # Pillow cannot write these
    encoded = simplejpeg.encode_jpeg(photograph(61, 45), 85, "RGB", kind.replace(":", ""))
    assert every_cut_agrees(encoded, decoder)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("options", [
    {"progressive": True}, {"progressive": True, "subsampling": 0}, {"mode": "L"}, {"mode": "L", "progressive": True},
    {"optimize": True}, {"quality": 1}, {"quality": 100}, {"restart_marker_blocks": 1}, {"restart_marker_rows": 1},
    {"keep_rgb": True}, {"comment": b"x" * 3000}], ids=str)
def test_every_way_of_coding_has_them_too(decoder, options):
    assert every_cut_agrees(jpeg(**options), decoder)


@pytest.mark.parametrize("decoder", DECODERS)
def test_bytes_behind_the_picture_do_not_matter(decoder):
    assert every_cut_agrees(jpeg() + b"\xff\xd9 more \xff\xd8" + bytes(500), decoder)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize("orientation", range(1, 9))
def test_only_upright_pictures_are_ordinary(orientation):
    assert (ordinary_jpeg(jpeg(exif=exif(orientation))) is not None) == (orientation == 1)


def tagged(kind, orientation, **options) -> bytes:
    """A picture of 45 x 61 pixels whose tag says how to turn it; PNG, WebP and CMYK JPEG go past the fast decoders."""
    mode = "CMYK" if kind == "CMYK" else "L" if kind == "grey" else "RGB"
    stream = io.BytesIO()
    Image.fromarray(photograph(61, 45)).convert(mode).save(
        stream, kind if kind in ("PNG", "WEBP") else "JPEG", exif=exif(orientation), **options)
    return stream.getvalue()


def read(encoded, ignore_orientation, decoder=decode.FASTEST) -> np.ndarray:
    """As DecodeImage does."""
    header = ordinary_jpeg(encoded, ignore_orientation)
    if header is None:
        return decode_any(encoded, ignore_orientation)
    return np.asarray(JpegPicture(encoded, header, decoder, ignore_orientation))


KINDS = ["JPEG", "grey", "CMYK", "PNG"]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", [*KINDS, "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_that_is_ignored_changes_nothing(decoder, kind, orientation):
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = read(tagged(kind, orientation, **options), True, decoder)
    assert pixels.shape == (61, 45, 3)
    np.testing.assert_array_equal(pixels, read(tagged(kind, 1, **options), False, decoder))


@pytest.mark.parametrize("kind", KINDS)
def test_an_orientation_is_followed_otherwise(kind):
    turned, stored = read(tagged(kind, 6), False), read(tagged(kind, 6), True)
    np.testing.assert_array_equal(turned, np.rot90(stored, -1))


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_what_opencv_gives_up_is_read_by_pillow_in_the_same_orientation(kind, ignored, monkeypatch):
    encoded = tagged(kind, 6)
    expected = decode_any(encoded, ignored)
    monkeypatch.setattr(decode, "opencv_pixels", lambda *arguments: None)
    monkeypatch.setattr("dedup.images.opencv_pixels", lambda *arguments: None)
    pixels = decode_any(encoded, ignored)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 12            # each library has inks of its own


@pytest.mark.parametrize("ignored", [False, True])
def test_a_huge_picture_is_read_in_the_same_orientation(ignored, monkeypatch):
    encoded = tagged("JPEG", 6)
    monkeypatch.setattr(decode, "_LARGEST", 100)
    assert ordinary_jpeg(encoded, ignored) is None
    assert read(encoded, ignored).shape == ((61, 45, 3) if ignored else (45, 61, 3))


@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_that_a_fast_decoder_refuses_keeps_its_orientation(ignored):
    def refusing(encoded, rows, columns, cut):
        raise ImageError("not mine")
    encoded = tagged("JPEG", 6 if ignored else 1)
    picture = JpegPicture(encoded, ordinary_jpeg(encoded, ignored), refusing, ignored)
    np.testing.assert_array_equal(picture[10:61, 3:40], read(tagged("JPEG", 1), False)[10:61, 3:40])


@pytest.mark.parametrize("order, number", [(b"II*\0", "little"), (b"MM\0*", "big")])
def test_the_orientation_is_found_in_both_byte_orders_behind_other_entries(order, number):
    def two(value):
        return value.to_bytes(2, number)

    def entry(tag, value):
        return two(tag) + two(3) + (1).to_bytes(4, number) + two(value) + b"\0\0"
    for orientation in (1, 6):
        tiff = order + (8).to_bytes(4, number) + two(2) + entry(0x0100, 5) + entry(0x0112, orientation) + bytes(4)
        assert (ordinary_jpeg(jpeg(exif=b"Exif\0\0" + tiff)) is None) == (orientation == 6)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("block", [
    b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
    b"http://ns.adobe.com/xap/1.0/\0<x/>"])
def test_a_block_without_a_readable_orientation_leaves_the_picture_ordinary(block):
    encoded = jpeg(exif=block)
    assert every_cut_agrees(encoded, decode.with_pillow)


@pytest.mark.parametrize("encoded", [jpeg(mode="CMYK"), jpeg()[:-200], jpeg()[:400], b"\x89PNG\r\n", b""],
                         ids=["four channels", "truncated", "hardly begun", "another format", "nothing"])
def test_what_decoders_treat_differently_is_not_ordinary(encoded):
    assert ordinary_jpeg(encoded) is None


@pytest.mark.parametrize("frame, value", [(1, 0xC9), (4, 12), (5, 0)], ids=["arithmetic coding", "12 bits", "no height yet"])
def test_rare_frames_are_not_ordinary(frame, value):
    encoded = bytearray(jpeg(height=61))
    place = read_jpeg_header(bytes(encoded)).frame
    encoded[place + frame:place + frame + (2 if frame == 5 else 1)] = bytes([value] * (2 if frame == 5 else 1))
    assert ordinary_jpeg(bytes(encoded)) is None


class Counting:
    """A decoder that notes how many bytes and rows it was given."""

    def __init__(self):
        self.rows = []

    def __call__(self, encoded, rows, columns, cut):
        self.rows.append(read_jpeg_header(encoded).height)
        return decode.with_pillow(encoded, rows, columns, cut)


def test_rows_below_the_box_are_not_decoded_unless_the_scans_need_them():
    for options, expected in (({}, 22), ({"progressive": True}, 61)):
        decoder, encoded = Counting(), jpeg(**options)
        JpegPicture(encoded, ordinary_jpeg(encoded), decoder)[5:20, 0:45]
        assert decoder.rows == [expected]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_damaged_file_is_left_to_opencv(decoder):
    encoded = jpeg(120, 90)
    scan = read_jpeg_header(encoded).scan
    damaged = encoded[:scan + 600] + b"\xff\xd9"
    picture = JpegPicture(damaged, ordinary_jpeg(damaged), decoder)
    assert np.array_equal(np.asarray(picture), by_opencv(damaged))


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_file_that_nobody_can_decode_is_an_image_error(decoder):
    encoded = bytearray(jpeg())
    tables = encoded.index(b"\xff\xc4")
    encoded[tables + 4:tables + 30] = bytes([0xff] * 26)            # Huffman tables that make no sense
    picture = JpegPicture(bytes(encoded), ordinary_jpeg(bytes(encoded)), decoder)
    with pytest.raises(ImageError):
        np.asarray(picture)


def test_a_picture_of_another_size_than_its_header_says_is_an_image_error(monkeypatch):
    def broken(encoded, rows, columns, cut):
        raise ImageError("broken")
    encoded = jpeg()
    picture = JpegPicture(encoded, ordinary_jpeg(encoded), broken)
    assert np.array_equal(picture[3:9, 2:8], by_opencv(encoded)[3:9, 2:8])
    monkeypatch.setattr(decode, "decode_any", lambda encoded, ignored: np.zeros((45, 61, 3), np.uint8))
    with pytest.raises(ImageError, match="the header says 45 x 61 pixels, the picture has 61 x 45"):
        np.asarray(picture)


@pytest.mark.parametrize("kind, mode", [("PNG", "RGB"), ("PNG", "L"), ("BMP", "RGB"), ("WEBP", "RGB"), ("GIF", "RGB")])
def test_other_formats_are_read_as_red_green_blue(kind, mode):
    stream = io.BytesIO()
    Image.new("RGB", (12, 9), (200, 100, 30)).convert(mode).save(stream, kind)
    pixels, expected = decode_any(stream.getvalue()), np.array([200, 100, 30] if mode != "L" else [122] * 3)
    assert pixels.shape == (9, 12, 3) and np.abs(pixels.astype(int) - expected).max() < 8


def test_what_is_no_picture_is_an_image_error():
    with pytest.raises(ImageError):
        decode_any(b"no picture")
