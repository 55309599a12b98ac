import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dedup import convert, images
from dedup.images import ImageError, decode_colour, decode_grey, read_colour, working_image


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def difference(a, b) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.fixture(scope="module")
def picture(photo):
    return photo(3, 120, 160)


def turned(picture, orientation):
    """The stored pixels of a file whose EXIF orientation makes it look like `picture`."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    undo = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
            6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}[orientation]
    image = Image.fromarray(picture)
    return (image if undo is None else image.transpose(undo)), exif


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_give_back_their_pixels(picture, kind):
    assert np.array_equal(decode_colour(encoded(Image.fromarray(picture), kind)).pixels, picture)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(picture, kind, orientation):
    image, exif = turned(picture, orientation)
    options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(image, kind, exif=exif, **options.get(kind, {}))
    decoded = decode_colour(data)
    assert decoded.pixels.shape == picture.shape
    assert (decoded.height, decoded.width) == picture.shape[:2]
    assert difference(decoded.pixels, picture) < (2 if kind == "JPEG" else 1e-9)       # rounding of JPEG
    grey = decode_grey(data, 256).pixels
    assert difference(grey, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)) < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [3, 5, 6, 7])
def test_sixteen_bit_files_are_turned_upright(picture, kind, orientation):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    image, exif = turned(grey, orientation)
    deep = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    assert np.array_equal(decode_grey(encoded(deep, kind, exif=exif), 256).pixels, grey)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_reduced_jpeg_reports_the_size_of_its_file(photo, orientation):
    image, exif = turned(photo(4, 501, 1030), orientation)
    decoded = decode_grey(encoded(image, "JPEG", exif=exif), 256)
    assert (decoded.height, decoded.width) == (501, 1030)
    assert decoded.pixels.shape == (126, 258)       # a quarter: an eighth would be below 256


def test_sixteen_bit_grey_is_divided_by_257(picture):
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    deep = grey.astype(np.uint16) * 257
    for data in (encoded(Image.fromarray(deep), "PNG"), encoded(Image.fromarray(deep), "TIFF"),
                 cv2.imencode(".pgm", deep)[1].tobytes()):
        assert np.array_equal(decode_grey(data, 256).pixels, grey)


def test_sixteen_bits_are_rounded_not_cut():
    deep = np.full((8, 8, 3), 128 * 257 + 200, np.uint16)
    assert decode_colour(cv2.imencode(".png", deep)[1].tobytes()).pixels[0, 0].tolist() == [129, 129, 129]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_the_order_of_channels(picture, suffix):
    data = cv2.imencode(suffix, picture[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(decode_colour(data).pixels, picture)


def test_alpha_is_laid_over_white(picture):
    alpha = np.full(picture.shape[:2], 255, np.uint8)
    alpha[:40], alpha[40:60] = 0, 51
    data = encoded(Image.fromarray(np.dstack([picture, alpha])), "PNG")
    pixels = decode_colour(data).pixels
    assert (pixels[:40] == 255).all()
    assert np.array_equal(pixels[60:], picture[60:])
    assert np.abs(pixels[40:60] - (picture[40:60] * 0.2 + 255 * 0.8)).max() <= 0.5


def test_alpha_of_sixteen_bit_files_is_laid_over_white(picture):
    deep = np.dstack([picture[:, :, ::-1], np.zeros(picture.shape[:2], np.uint8)]).astype(np.uint16) * 257
    assert (decode_colour(cv2.imencode(".png", deep)[1].tobytes()).pixels == 255).all()


def test_grey_and_alpha_of_sixteen_bits_are_laid_over_white(picture):
    """Such a file is put together by hand, since neither library writes one."""
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    grey = picture[:, :, 0]
    pixels = np.dstack([grey, np.full(grey.shape, 255, np.uint8)]).astype(">u2") * 257
    pixels[:40, :, 1] = 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", *grey.shape[::-1], 16, 4, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    decoded = decode_colour(data).pixels
    assert (decoded[:40] == 255).all()
    assert np.array_equal(decoded[40:], np.repeat(grey[40:, :, None], 3, axis=2))


def test_a_palette_with_a_transparent_colour_is_laid_over_white(picture):
    image = Image.fromarray(picture).quantize(32)
    first = np.asarray(image) == 0
    opaque = decode_colour(encoded(image, "PNG")).pixels
    assert np.array_equal(opaque, np.asarray(image.convert("RGB")))
    pixels = decode_colour(encoded(image, "PNG", transparency=0)).pixels
    assert (pixels[first] == 255).all()
    assert np.array_equal(pixels[~first], opaque[~first])


def test_cmyk_looks_like_the_plain_image(picture):
    data = encoded(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    assert difference(decode_colour(data).pixels, picture) < 3


def test_an_animated_gif_shows_its_first_frame(picture):
    frames = [Image.fromarray(p).quantize(64) for p in (picture, 255 - picture)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert difference(decode_colour(data).pixels, np.asarray(frames[0].convert("RGB"))) == 0


def test_grey_and_one_bit_images_become_colour():
    assert decode_colour(encoded(Image.new("L", (9, 5), 77), "JPEG")).pixels.shape == (5, 9, 3)
    assert (decode_colour(encoded(Image.new("1", (9, 5), 1), "PNG")).pixels == 255).all()


def test_a_truncated_jpeg_is_read_and_marked(picture):
    data = encoded(Image.fromarray(picture), "JPEG")
    assert not decode_colour(data).truncated
    part = decode_grey(data[:len(data) * 2 // 3], 256)
    assert part.truncated
    assert part.pixels.shape == picture.shape[:2]


@pytest.mark.parametrize("data", [
    b"no image", b"\xff\xd8", b"\xff\xd8\xff\xe0" + bytes(40), b"\x89PNG\r\n\x1a\n" + bytes(60), b"GIF89a" + bytes(5),
    b"II*\x00" + bytes(30)])
def test_what_is_no_image_raises_one_class_of_error(data):
    for decode in (decode_colour, lambda d: decode_grey(d, 256)):
        with pytest.raises(ImageError):
            decode(data)


def test_a_truncated_png_is_an_error(picture):
    data = encoded(Image.fromarray(picture), "PNG")
    with pytest.raises(ImageError):
        decode_colour(data[:len(data) // 2])


def test_missing_empty_and_forbidden_names_are_errors(tmp_path):
    (tmp_path / "empty.jpg").touch()
    for name in ("empty.jpg", "missing.jpg", ".", "nul\0.jpg"):
        with pytest.raises(ImageError):
            read_colour(f"{tmp_path}/{name}")


def test_files_and_pictures_beyond_the_limits_are_refused(tmp_path, monkeypatch, save, picture):
    file = save(tmp_path / "a.png", picture)
    monkeypatch.setattr(images, "MAX_PIXELS", 120 * 160 - 1)
    with pytest.raises(ImageError, match="160 x 120 pixels are more than"):
        read_colour(file)
    monkeypatch.setattr(images, "MAX_BYTES", 1000)
    with pytest.raises(ImageError, match="bytes are more than"):
        read_colour(file)


def test_a_jpeg_beyond_the_limit_is_decoded_reduced(tmp_path, monkeypatch, save, photo):
    file = save(tmp_path / "a.jpg", photo(5, 400, 800))
    monkeypatch.setattr(images, "MAX_PIXELS", 400 * 800 - 1)
    assert read_colour(file).shape == (50, 100, 3)
    monkeypatch.setattr(images, "MAX_JPEG_PIXELS", 400 * 800 - 1)
    with pytest.raises(ImageError, match="800 x 400 pixels are more than"):
        read_colour(file)


@pytest.mark.parametrize("options, is_whole", [({}, False), ({"progressive": True}, True)])
def test_a_progressive_jpeg_has_the_lower_limit_since_it_is_decoded_as_a_whole(monkeypatch, photo, options, is_whole):
    data = encoded(Image.fromarray(photo(5, 400, 800)), "JPEG", **options)
    monkeypatch.setattr(images, "MAX_PIXELS", 400 * 800 - 1)
    if is_whole:
        with pytest.raises(ImageError, match="the limit of a progressive JPEG"):
            decode_grey(data, 256)
    else:
        assert decode_grey(data, 256).pixels.shape == (200, 400)


@pytest.mark.parametrize("orientation", [(6, 6), 0, 9, 65535, -1, float("nan"), "six", b"\x06"])
def test_an_orientation_that_makes_no_sense_is_passed_over(picture, orientation, monkeypatch):
    monkeypatch.setattr(Image.Image, "getexif", lambda self: {0x0112: orientation})
    assert np.array_equal(decode_colour(encoded(Image.fromarray(picture), "PNG")).pixels, picture)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0" + b"\xff" * 40,
                                  b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0" + bytes(12)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_exif_block_does_not_cost_the_picture(picture, kind, exif):
    options = {"PNG": {}, "JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}[kind]
    assert difference(decode_colour(encoded(Image.fromarray(picture), kind, exif=exif, **options)).pixels, picture) < 2


def test_pictures_of_many_strips_are_converted_like_those_of_one(picture, monkeypatch):
    alpha = np.dstack([picture, picture[:, :, 0]])
    files = [encoded(Image.fromarray(picture).quantize(64), "PNG", transparency=3),
             encoded(Image.fromarray(alpha), "PNG"), encoded(Image.fromarray(picture), "BMP"),
             cv2.imencode(".png", alpha.astype(np.uint16) * 255)[1].tobytes(),
             encoded(Image.fromarray(picture[:, :, 0].astype(np.uint16) * 255), "TIFF")]
    whole = [decode_colour(data).pixels for data in files]
    monkeypatch.setattr(convert, "_STRIP", 7 * picture.shape[1])
    for data, pixels in zip(files, whole):
        assert np.array_equal(decode_colour(data).pixels, pixels)


def test_pipes_and_devices_are_refused_before_they_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for name in (tmp_path / "pipe.jpg", "/dev/zero"):
        with pytest.raises(ImageError, match="a pipe or a device"):
            images.read_bytes(name)


def test_the_size_of_a_file_is_minus_one_where_there_is_none(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert [images.size_in_bytes(f"{tmp_path}/{name}") for name in ("a.jpg", "b.jpg", "a.jpg/c", "nul\0")] == [5, -1, -1, -1]


@pytest.mark.parametrize("shape, expected", [
    ((300, 512), (150, 256)), ((256, 100), (256, 100)), ((200, 160), (200, 160)), ((159, 80), (256, 129)),
    ((32, 32), (128, 128)), ((64, 48), (256, 192)), ((1, 5000), (1, 256)), ((1, 1), (4, 4))])
def test_working_size(shape, expected):
    assert working_image(np.zeros(shape, np.uint8), 256, 160).shape == expected
