"""Every kind of file and list that a user may bring, through the functions and the command that users call."""
import errno
import io
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import time
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from dedup import ReferenceIndex, Source, files, read_matches, remove_copies
from dedup.__main__ import main
from dedup.errors import InputError


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def deep(pixels, suffix):
    """Sixteen bits a channel; OpenCV takes blue first."""
    order = {2: slice(None), 3: (slice(None), slice(None), [2, 1, 0, *range(3, pixels.shape[-1])])}[pixels.ndim]
    return cv2.imencode(suffix, np.ascontiguousarray(pixels.astype(np.uint16)[order] * 257))[1].tobytes()


def turned(rgb, orientation, kind, mode="RGB"):
    """A file whose pixels are stored so that only the EXIF orientation makes them upright."""
    undo = {2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
            6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
    image, exif = Image.fromarray(rgb).convert(mode), Image.Exif()
    exif[0x0112] = orientation
    return encoded(image.transpose(undo[orientation]) if orientation in undo else image, kind, exif=exif)


def over_white(rgb):
    """With alpha, in such colours that it looks like `rgb` over white: half transparent where that is possible."""
    dark = 2 * rgb.astype(int) - 255
    possible = (dark >= 0).all(axis=2, keepdims=True)
    return np.dstack([np.where(possible, dark, rgb), np.where(possible, 128, 255)]).astype(np.uint8)


def grey(rgb):
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)


def jpeg(rgb, mode="RGB", **options):
    return encoded(Image.fromarray(rgb).convert(mode), "JPEG", **{"quality": 92, **options})


def frames(rgb, kind, **options):
    first, second = (Image.fromarray(np.ascontiguousarray(p)) for p in (rgb, 255 - rgb[::-1]))
    return encoded(first, kind, save_all=True, append_images=[second], **options)


VARIANTS = {
    "cmyk.jpg": lambda rgb: jpeg(rgb, "CMYK"),
    "turnedcmyk.jpg": lambda rgb: turned(rgb, 6, "JPEG", "CMYK"),
    "cmyk.tif": lambda rgb: encoded(Image.fromarray(rgb).convert("CMYK"), "TIFF"),
    "grey.jpg": lambda rgb: jpeg(rgb, "L"),
    "progressive.jpg": lambda rgb: jpeg(rgb, progressive=True),
    "palette.png": lambda rgb: encoded(Image.fromarray(rgb).quantize(256, Image.FASTOCTREE), "PNG"),
    "palette.gif": lambda rgb: encoded(Image.fromarray(rgb).quantize(256, Image.FASTOCTREE), "GIF"),
    "palette.bmp": lambda rgb: encoded(Image.fromarray(rgb).quantize(256, Image.FASTOCTREE), "BMP"),
    "animated.gif": lambda rgb: frames(rgb, "GIF"),
    "animated.webp": lambda rgb: frames(rgb, "WEBP", lossless=True),
    "animated.png": lambda rgb: frames(rgb, "PNG"),
    "pages.tif": lambda rgb: frames(rgb, "TIFF"),
    "deep.png": lambda rgb: deep(rgb, ".png"),
    "deep.tif": lambda rgb: deep(rgb, ".tiff"),
    "deepgrey.png": lambda rgb: deep(grey(rgb), ".png"),
    "deepgrey.tif": lambda rgb: deep(grey(rgb), ".tiff"),
    "deepgrey.pgm": lambda rgb: deep(grey(rgb), ".pgm"),
    "deepalpha.png": lambda rgb: deep(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)]), ".png"),
    "alpha.png": lambda rgb: encoded(Image.fromarray(over_white(rgb)), "PNG"),
    "alpha.webp": lambda rgb: encoded(Image.fromarray(over_white(rgb)), "WEBP", lossless=True, exact=True),
    "alpha.tif": lambda rgb: encoded(Image.fromarray(over_white(rgb)), "TIFF"),
    "greyalpha.png": lambda rgb: encoded(Image.merge("LA", [Image.fromarray(grey(rgb)), Image.new("L", rgb.shape[1::-1], 255)]),
                                         "PNG"),
    "lossy.webp": lambda rgb: encoded(Image.fromarray(rgb), "WEBP", quality=90),
    "plain.bmp": lambda rgb: encoded(Image.fromarray(rgb), "BMP"),
    "plain.ppm": lambda rgb: encoded(Image.fromarray(rgb), "PPM"),
    "plain.jp2": lambda rgb: encoded(Image.fromarray(rgb), "JPEG2000"),
    "jpeg.png": jpeg,
    "png.jpg": lambda rgb: encoded(Image.fromarray(rgb), "PNG"),
    "truncated.jpg": lambda rgb: jpeg(rgb)[:-300],
    **{f"exif{n}.{suffix}": lambda rgb, n=n, kind=kind: turned(rgb, n, kind)
       for n in range(1, 9) for suffix, kind in (("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"))},
}


@pytest.fixture(scope="module")
def pictures(photo):
    """Two evaluation pictures, two copies and one that is none; their decisions."""
    first, second, other = (photo(seed, 168, 224) for seed in (0, 1, 10))
    return {"val": {"0": first, "1": second},
            "pool": {"crop": first[20:140, 40:204], "mirror": second[:, ::-1], "other": other}}


def stored(folder, pictures, suffix, encode):
    """Write pictures; returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rgb in pictures.items():
        (folder / f"{name}.{suffix}").write_bytes(encode(np.ascontiguousarray(rgb)))
    return [f"{name}.{suffix}" for name in pictures]


def png(rgb):
    return encoded(Image.fromarray(rgb), "PNG")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, pictures):
    """The pictures as plain PNG files, and their index."""
    folder = tmp_path_factory.mktemp("plain")
    for part in pictures:
        stored(folder / part, pictures[part], "png", png)
    return folder, ReferenceIndex.build(["0.png", "1.png"], root=folder / "val")


def decided(result):
    assert result.errors == []
    return [(m.query.split(".")[0], m.reference.split(".")[0]) for m in result.best()]


COPIES = [("crop", "0"), ("mirror", "1")]


def test_plain_files_are_decided_rightly(plain):
    folder, index = plain
    assert decided(index.match(["crop.png", "mirror.png", "other.png"], folder / "pool")) == COPIES


@pytest.mark.parametrize("variant", VARIANTS)
def test_pool_files_of_every_kind_are_decided_like_plain_ones(plain, pictures, tmp_path, variant):
    names = stored(tmp_path, pictures["pool"], variant.partition(".")[2], VARIANTS[variant])
    result = plain[1].match(names, tmp_path)
    assert decided(result) == COPIES
    assert result.counts["truncated"] == (3 if variant == "truncated.jpg" else 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_evaluation_files_of_every_kind_decide_like_plain_ones(plain, pictures, tmp_path, variant):
    names = stored(tmp_path, pictures["val"], variant.partition(".")[2], VARIANTS[variant])
    index = ReferenceIndex.build(names, root=tmp_path)
    assert decided(index.match(["crop.png", "mirror.png", "other.png"], plain[0] / "pool")) == COPIES


def write_unreadable(folder):
    """Files that are no pictures; returns name -> class of the error."""
    good = encoded(Image.new("RGB", (60, 40)), "PNG")
    for name, content in {"empty.jpg": b"", "text.jpg": b"no picture " * 50, "header.jpg": b"\xff\xd8\xff\xe0" + bytes(99),
                          "cut.png": good[:len(good) // 2], "noise.png": good[:40] + os.urandom(500)}.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    (folder / "loop.jpg").symlink_to("loop.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {"empty.jpg": "ImageError", "text.jpg": "UnidentifiedImageError", "header.jpg": "UnidentifiedImageError",
            "cut.png": None, "noise.png": None, "folder.jpg": "IsADirectoryError", "loop.jpg": "OSError",
            "pipe.jpg": "OSError", "missing.jpg": "FileNotFoundError", "text.jpg/below": "NotADirectoryError"}


def test_what_is_no_picture_is_an_error_entry_and_the_run_goes_on(plain, tmp_path):
    expected = write_unreadable(tmp_path)
    (tmp_path / "crop.png").write_bytes((plain[0] / "pool" / "crop.png").read_bytes())
    result = plain[1].match([*expected, "crop.png"], tmp_path)
    assert [(e.path, e.stage) for e in result.errors] == [(name, "decode") for name in expected]
    for error in result.errors:
        assert error.message and "\n" not in error.message + error.kind and "\t" not in error.message
        assert expected[error.path] in (None, error.kind)
    assert [m.query for m in result.best()] == ["crop.png"]


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_claiming(width, height, depth):
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b""))


def patched(data, place, form, *values):
    data = bytearray(data)
    struct.pack_into(form, data, place, *values)
    return bytes(data)


def bombs():
    """Small files that claim to be huge."""
    small = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    gif, tiff, bmp = (encoded(small.quantize(16) if kind == "GIF" else small, kind) for kind in ("GIF", "TIFF", "BMP"))
    entries = struct.unpack_from("<I", tiff, 4)[0] + 2
    for place in range(entries, entries + 12 * 20, 12):
        if struct.unpack_from("<H", tiff, place)[0] in (256, 257, 278):         # width, height, rows of a strip
            tiff = patched(tiff, place + 2, "<HII", 4, 1, 60_000)
    progressive, baseline = jpeg(np.asarray(small), progressive=True), jpeg(np.asarray(small))
    still = encoded(small, "WEBP", lossless=True)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200_000_000)))
    return {"a.png": png_claiming(60_000, 60_000, 8), "b.png": png_claiming(60_000, 60_000, 16),
            "text.png": encoded(small, "PNG")[:33] + text + encoded(small, "PNG")[33:],
            "screen.gif": patched(gif, 6, "<HH", 65_535, 65_535),
            "frame.gif": patched(gif, gif.index(b"\x2c", 13 + 48) + 5, "<HH", 65_535, 65_535),
            "a.tif": tiff, "a.bmp": patched(bmp, 18, "<ii", 60_000, 60_000),
            "a.webp": patched(still, still.index(b"VP8L") + 9, "<I", 16_383 | 16_383 << 14),
            "a.ppm": b"P6 60000 60000 255\n" + bytes(100),
            "progressive.jpg": patched(progressive, progressive.index(b"\xff\xc2") + 5, ">HH", 20_000, 20_000),
            "baseline.jpg": patched(baseline, baseline.index(b"\xff\xc0") + 5, ">HH", 60_000, 60_000)}


def test_small_files_that_claim_to_be_huge_are_error_entries_and_take_no_memory(plain, tmp_path):
    for name, content in bombs().items():
        (tmp_path / name).write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = sorted(p.name for p in tmp_path.iterdir())
    result = plain[1].match(names, tmp_path)
    assert [e.path for e in result.errors] == names
    assert all("pixels" in e.message or "too large" in e.message for e in result.errors)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000         # kB


@pytest.mark.slow
def test_a_jpeg_of_more_than_a_hundred_megapixels_is_decoded_reduced(plain, pictures, tmp_path):
    huge = cv2.resize(pictures["pool"]["crop"], (12_000, 8_800), interpolation=cv2.INTER_CUBIC)
    (tmp_path / "crop.jpg").write_bytes(jpeg(huge, quality=75))
    assert decided(plain[1].match(["crop.jpg"], tmp_path)) == COPIES[:1]


@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (1, 500), (7, 200), (4, 4)])
def test_flat_and_minute_pictures_are_kept_and_counted(plain, tmp_path, shape):
    stored(tmp_path, {"a": np.full((*shape, 3), 90, np.uint8)}, "png", png)
    result = plain[1].match(["a.png"], tmp_path)
    assert (result.matches, result.errors) == ([], [])
    assert result.counts == {"images": 1, "truncated": 0, "no_local_features": 1}


def test_a_flat_picture_is_a_copy_of_its_equal_and_not_of_another_colour(tmp_path):
    flat = {"red": np.full((50, 60, 3), (200, 30, 30), np.uint8), "blue": np.full((50, 60, 3), (30, 30, 200), np.uint8)}
    stored(tmp_path, flat, "png", png)
    stored(tmp_path, flat, "bmp", VARIANTS["plain.bmp"])
    index = ReferenceIndex.build(["red.png"], root=tmp_path)
    assert decided(index.match(["red.bmp", "blue.bmp"], tmp_path)) == [("red", "red")]


def test_thumbnails_are_enlarged_and_found(plain, pictures, tmp_path):
    small = cv2.resize(pictures["val"]["0"], (112, 84), interpolation=cv2.INTER_AREA)
    result = plain[1].match(stored(tmp_path, {"thumb": small}, "png", png), tmp_path)
    assert decided(result) == [("thumb", "0")]
    assert result.counts["no_local_features"] == 0


def test_below_eight_pixels_on_a_side_there_are_no_local_features(plain, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 3), np.uint8)
    seven, eight = (plain[1].match(stored(tmp_path, {str(n): noise[:n]}, "png", png), tmp_path) for n in (7, 8))
    assert (seven.counts["no_local_features"], eight.counts["no_local_features"]) == (1, 0)


def test_every_line_of_a_list_of_everything_is_accounted_for(plain, pictures, tmp_path):
    pool = tmp_path / "pool"
    pool.mkdir()
    names = [*write_unreadable(pool), *stored(pool, pictures["pool"], "png", png)]
    for variant in ("deep.tif", "exif6.jpg", "animated.gif", "truncated.jpg"):
        names += stored(pool / variant, pictures["pool"], variant.partition(".")[2], VARIANTS[variant])
        names[-3:] = [f"{variant}/{name}" for name in names[-3:]]
    with tarfile.open(pool / "shard.tar", "w") as tar:
        for name in ("crop.png", "other.png", "text.jpg"):
            tar.add(pool / name, arcname=name)
        inside_the_last = tar.offset - 800         # of its 1024 bytes of 550 and zeros
    os.truncate(pool / "shard.tar", inside_the_last)
    names += ["shard.tar/crop.png", "shard.tar/other.png", "shard.tar/text.jpg", "shard.tar/gone.jpg", "shard.tar"]
    lines = names + names[::2] + ["crop.png 5"]
    (pool / "list.txt").write_text("".join(f"{line}\n" for line in lines))
    removal = remove_copies(pool / "list.txt", Source.of(["0.png", "1.png"], plain[0] / "val"), tmp_path / "out",
                            max_error_fraction=1.0)
    kept = removal.kept_file.read_text().splitlines()
    removed = [m.query for m in read_matches(removal.removed_file)]
    errors = [line.split("\t")[0] for line in (tmp_path / "out" / "errors.tsv").read_text().splitlines()[1:]]
    assert sorted(kept + removed + errors) == sorted(names)
    assert (removal.kept, removal.removed, removal.errors) == (len(kept), len(removed), len(errors)) == (6, 11, 13)
    assert removal.manifest["pool"]["repeated"] + len(names) == removal.manifest["pool"]["lines"] == len(lines)
    assert removal.manifest["counts"]["truncated"] == 3


def packed(folder, tar):
    """The files of a folder in a tar file, beside a member that is no picture."""
    with tarfile.open(tar, "w") as archive:
        archive.add(folder, arcname=".")
        archive.addfile(tarfile.TarInfo("notes.cls"))
    return tar


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_pool_and_an_evaluation_set_in_tar_files_are_decided_like_folders(plain, tmp_path, workers):
    (tmp_path / "pool" / "deep").mkdir(parents=True)
    packed(plain[0] / "pool", tmp_path / "pool" / "deep" / "0.tar")
    val = packed(plain[0] / "val", tmp_path / "val.tar")
    removal = remove_copies(tmp_path / "pool", val, tmp_path / "out", workers=workers, shard_size=2)
    assert [(m.query, m.reference) for m in read_matches(removal.removed_file)] == [
        ("deep/0.tar/crop.png", "val.tar/0.png"), ("deep/0.tar/mirror.png", "val.tar/1.png")]
    assert removal.kept_file.read_text() == "deep/0.tar/other.png\n"
    again = remove_copies(removal.kept_file, val, tmp_path / "again", pool_root=tmp_path / "pool")
    assert (again.images, again.kept) == (1, 1)
    assert main(["sheet", str(removal.removed_file)]) == 0
    assert cv2.imread(str(tmp_path / "out" / "removed.png")) is not None


def test_all_matches_with_an_evaluation_set_that_repeats_itself_are_reported_and_the_best_is_blamed(plain, tmp_path):
    val = tmp_path / "val"
    val.mkdir()
    picture = (plain[0] / "val" / "0.png").read_bytes()
    (val / "b.png").write_bytes(picture)
    (val / "a.png").write_bytes(picture)
    (val / "list.txt").write_text("b.png\na.png\nb.png\n")
    pool = Source.of(["crop.png", "other.png"], plain[0] / "pool")
    removal = remove_copies(pool, val / "list.txt", tmp_path / "out")
    assert [(m.query, m.reference) for m in read_matches(removal.removed_file)] == [("crop.png", "a.png")]
    others = read_matches(tmp_path / "out" / "other_matches.tsv")
    assert [(m.query, m.reference) for m in others] == [("crop.png", "b.png")]
    assert (removal.manifest["evaluation"]["lines"], removal.manifest["evaluation"]["repeated"]) == (3, 1)


@pytest.mark.parametrize("content, message", [
    (b"", "list.txt lists no image: all of its 0 bytes are blank"), (b"\n\n \n", "list.txt lists no image"),
    (b"a.png\nb.png\n", "list.txt: none of its 2 images can be read"),
    (b"0.png 1\n1.png\t2\n", "list.txt:2: '1.png\\t2' holds a tab"), (b"\xff\xfe0\0", "Expected a UTF-8 text file"),
    (b"0.png 1\n 7\n", "list.txt:2: a label without a path")])
def test_lists_that_cannot_be_meant_end_with_status_2_and_name_the_place(plain, tmp_path, capsys, content, message):
    (tmp_path / "list.txt").write_bytes(content)
    arguments = ["--out", str(tmp_path / "out"), "--max-errors", "1"]
    assert main([str(tmp_path / "list.txt"), "--against", str(plain[0] / "val"), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    kept = tmp_path / "out" / "kept.txt"
    assert not kept.exists() or kept.read_text() == ""


def test_an_evaluation_list_without_a_readable_picture_ends_with_status_2(plain, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("a.png\nb.png\n")
    status = main([str(plain[0] / "pool"), "--against", str(tmp_path / "list.txt"), "--out", str(tmp_path / "out")])
    assert status == 2
    assert "none of the 2 evaluation images can be read" in capsys.readouterr().err


def outputs(folder):
    """What a run wrote under final names, without the duration."""
    written = {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}
    if "manifest.json" in written:
        written["manifest.json"] = {k: v for k, v in json.loads(written["manifest.json"]).items() if k != "duration"}
    return written


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_write_leaves_no_half_file_and_the_run_can_go_on(plain, tmp_path, monkeypatch):
    pool, val = Source.of(["crop.png", "other.png"], plain[0] / "pool"), Source.of(["0.png"], plain[0] / "val")
    remove_copies(pool, val, tmp_path / "whole", shard_size=1)
    left, fsync = [0], os.fsync

    def full(handle):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)
    monkeypatch.setattr(files.os, "fsync", full)
    for room in range(1, 200):
        left[0] = room
        try:
            remove_copies(pool, val, tmp_path / "out", shard_size=1)
            break
        except InputError as error:
            assert "No space left on device" in str(error)
        assert list((tmp_path / "out").rglob("*.tmp")) == []
        for name, content in outputs(tmp_path / "out").items():
            assert content == outputs(tmp_path / "whole")[name]
    assert room > 5
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


def command(plain, out, *more):
    return [sys.executable, "-m", "dedup", str(plain[0] / "pool"), "--against", str(plain[0] / "val"), "--out", str(out), *more]


@pytest.mark.slow
def test_a_write_that_the_system_refuses_ends_with_status_2_and_the_next_run_is_whole(plain, tmp_path):
    def limited():              # no file may grow beyond that: a real error of write, as of a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    subprocess.run(command(plain, tmp_path / "whole"), check=True)
    done = subprocess.run(command(plain, tmp_path / "out"), preexec_fn=limited, capture_output=True, text=True)
    assert done.returncode == 2 and "could not be written: File too large" in done.stderr
    assert outputs(tmp_path / "out") == {}
    subprocess.run(command(plain, tmp_path / "out"), check=True)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_file_and_goes_on(plain, tmp_path):
    subprocess.run(command(plain, tmp_path / "whole", "--shard-size", "1"), check=True)
    run = subprocess.Popen(command(plain, tmp_path / "out", "--shard-size", "1"))
    while not any((tmp_path / "out" / "shards").glob("*0.json")) and run.poll() is None:
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    for name, content in outputs(tmp_path / "out").items():
        assert content == outputs(tmp_path / "whole")[name]
    subprocess.run(command(plain, tmp_path / "out", "--shard-size", "1"), check=True)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "whole")
