import os
import resource
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dedup import Options, ReferenceIndex
from dedup.errors import InputError
from dedup.index import fingerprint

NAMES = ["0.png", "1.png", "2.png"]


@pytest.fixture
def index(evaluation):
    return ReferenceIndex.build(NAMES, root=evaluation)


def found(index, folder, *names):
    return {m.query: m for m in index.match(names, folder).best()}


def same(first, second):
    """Matches hold arrays: compare what they print."""
    return list(map(repr, first)) == list(map(repr, second))


def test_the_same_bytes_are_found_by_their_checksum(index, pool):
    match = found(index, pool, "same.png")["same.png"]
    assert (match.reference, match.reason, match.mirrored) == ("0.png", "sha256", False)


@pytest.mark.parametrize("name, reference, reason, mirrored", [
    ("jpeg.jpg", "0.png", "hash", False), ("crop.jpg", "1.png", "sift", False), ("mirror.jpg", "1.png", "hash", True)])
def test_edited_copies_are_found(index, pool, name, reference, reason, mirrored):
    match = found(index, pool, name)[name]
    assert (match.reference, match.reason, match.mirrored) == (reference, reason, mirrored)
    assert match.inliers >= 5 and match.agreement >= 0.55


def test_the_affine_map_is_in_pixels_of_the_files(index, pool):
    shift = found(index, pool, "crop.jpg")["crop.jpg"].affine          # cut out at x = 60, y = 30
    assert np.abs(shift - [[1, 0, 60], [0, 1, 30]]).max() < 1.5
    flip = found(index, pool, "mirror.jpg")["mirror.jpg"].affine
    assert np.abs(flip - [[-1, 0, 319], [0, 1, 0]]).max() < 1.5


def variants(rgb):
    """The same picture in the ways files differ: name -> (PIL image, options of `save`)."""
    image = Image.fromarray(rgb)
    turned = Image.Exif()
    turned[0x0112] = 6
    return {"cmyk.jpg": (image.convert("CMYK"), {}), "palette.png": (image.quantize(64), {}),
            "first.gif": (image.quantize(64), {"save_all": True, "append_images": [Image.new("P", image.size)]}),
            "alpha.png": (Image.fromarray(np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])), {}),
            "deep.png": (Image.fromarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257), {}),
            "exif.jpg": (image.transpose(Image.ROTATE_90), {"exif": turned}), "image.webp": (image, {})}


def test_kinds_of_files_lead_to_the_decision_of_the_plain_picture(index, photo, pool):
    copy, other = np.ascontiguousarray(photo(1)[30:200, 60:290]), photo(50)
    for prefix, rgb in (("copy ", copy), ("other ", other)):
        for name, (image, options) in variants(rgb).items():
            image.save(pool / (prefix + name), **options)
    result = index.match([p + name for p in ("copy ", "other ") for name in variants(copy)], pool)
    assert not result.errors
    assert {m.query: m.reference for m in result.best()} == {"copy " + name: "1.png" for name in variants(copy)}
    for match in result.best():
        assert np.abs(match.affine - [[1, 0, 60], [0, 1, 30]]).max() < 1.5, match.query


def test_other_pictures_are_not_matched(index, pool):
    assert found(index, pool, *[f"other{seed}.jpg" for seed in range(10, 16)]) == {}


def test_unreadable_pictures_are_errors_and_the_rest_goes_on(index, pool):
    result = index.match(["broken.jpg", "missing.jpg", "jpeg.jpg"], pool)
    assert [(e.path, e.stage) for e in result.errors] == [("broken.jpg", "decode"), ("missing.jpg", "decode")]
    assert result.errors[1].kind == "FileNotFoundError"
    assert [m.query for m in result.best()] == ["jpeg.jpg"]
    assert result.counts["images"] == 1


def test_unreadable_references_are_errors_too(evaluation, pool):
    (evaluation / "bad.png").write_bytes(b"\x89PNG")
    index = ReferenceIndex.build(["bad.png", "0.png"], root=evaluation)
    assert index.names == ["0.png"]
    assert [(e.path, e.stage) for e in index.errors] == [("bad.png", "reference")]
    with pytest.raises(InputError, match="none of the 2 evaluation images can be read; the first is bad.png"):
        ReferenceIndex.build(["bad.png", "gone.png"], root=evaluation)


@pytest.mark.parametrize("below", [10**6, 0], ids=["exact", "compressed"])
def test_matching_does_not_depend_on_the_company(evaluation, pool, below):
    index = ReferenceIndex.build(NAMES, Options(exact_below=below), evaluation)
    names = ["other10.jpg", "jpeg.jpg", "same.png", "crop.jpg", "broken.jpg", "mirror.jpg", "other11.jpg"]
    together = index.match(names * 10, pool)       # more than are searched at once
    apart = [index.match([name], pool) for name in names]
    for kind in ("matches", "close"):
        assert same(getattr(together, kind), [m for result in apart for m in getattr(result, kind)] * 10)


def test_compressed_search_finds_the_same_copies(evaluation, pool):
    names = ["jpeg.jpg", "crop.jpg", "mirror.jpg", "other10.jpg"]
    exact, compressed = (ReferenceIndex.build(NAMES, Options(exact_below=below), evaluation) for below in (10**6, 0))
    assert exact.descriptors.ntotal == compressed.descriptors.ntotal > 0
    assert same(exact.match(names, pool).matches, compressed.match(names, pool).matches)


def answers(index, folder):
    result = index.match(sorted(n for n in os.listdir(folder) if n != "list.txt"), folder)
    return [list(map(repr, part)) for part in (result.matches, result.close, result.errors)], result.counts


def test_an_index_in_a_folder_answers_like_one_in_passing(index, evaluation, pool, tmp_path):
    kept = ReferenceIndex.build(NAMES, root=evaluation, folder=tmp_path / "kept")
    index.save(tmp_path / "saved")
    assert sorted(os.listdir(tmp_path / "kept")) == sorted(os.listdir(tmp_path / "saved"))
    opened = [ReferenceIndex.load(tmp_path / name, expected=index.fingerprint) for name in ("kept", "saved")]
    for other in (kept, *opened):
        assert answers(other, pool) == answers(index, pool)
        assert other.options == index.options and other.names == index.names and other.fingerprint == index.fingerprint


def test_thresholds_may_change_without_building_again(evaluation, pool, tmp_path):
    ReferenceIndex.build(NAMES, root=evaluation, folder=tmp_path / "index")
    strict = Options(min_inliers=10_000, flat_hash_radius=0)
    changed = ReferenceIndex.load(tmp_path / "index", None, fingerprint(NAMES, strict, evaluation), strict)
    assert answers(changed, pool) == answers(ReferenceIndex.build(NAMES, strict, evaluation), pool)
    assert changed.match(["crop.jpg"], pool).matches == []
    with pytest.raises(InputError, match="another evaluation list, other files or other options"):
        ReferenceIndex.load(tmp_path / "index", None, changed.fingerprint)


@pytest.mark.parametrize("change", [{"size": 320}, {"enlarge_below": 0}, {"keypoints": 100}, {"contrast": 0.03},
                                    {"exact_below": 0}])
def test_options_that_shape_an_index_must_be_those_it_was_built_with(evaluation, tmp_path, change):
    ReferenceIndex.build(NAMES[:1], root=evaluation, folder=tmp_path / "index")
    with pytest.raises(InputError, match=f"built with {next(iter(change))}"):
        ReferenceIndex.load(tmp_path / "index", options=Options(**change))


def test_another_index_is_refused_by_name(index, tmp_path):
    index.save(tmp_path / "index")
    with pytest.raises(InputError, match=f"has the fingerprint {index.fingerprint}, expected 123"):
        ReferenceIndex.load(tmp_path / "index", expected="123")


_KILLED = """
import os, sys
from dedup import ReferenceIndex
def read(function, names):
    for number, name in enumerate(names):
        if number == 2:
            os._exit(9)
        yield function(name)
ReferenceIndex.build(["0.png", "1.png", "2.png"], root=sys.argv[1], map=read, folder=sys.argv[2])
"""


def test_a_killed_build_is_no_index_and_leaves_nothing_to_the_next(evaluation, pool, tmp_path, index):
    folder = tmp_path / "index"
    index.save(folder)
    complete = sorted(os.listdir(folder))
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(evaluation), str(folder)], cwd=Path(__file__).parents[2])
    assert killed.returncode == 9 and any(name.endswith(".tmp") for name in os.listdir(folder))
    with pytest.raises(InputError, match="holds no usable reference index"):
        ReferenceIndex.load(folder)
    again = ReferenceIndex.build(NAMES, root=evaluation, folder=folder)
    assert sorted(os.listdir(folder)) == complete and answers(again, pool) == answers(index, pool)


@pytest.mark.parametrize("limit, file", [(20_000, "[a-z]*.npy"), (300_000, "descriptors.faiss")])
def test_a_full_disk_is_reported_and_leaves_no_index(evaluation, tmp_path, limit, file):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))     # writing beyond fails as on a full disk
    try:
        with pytest.raises(InputError, match=f"{file} could not be written"):
            ReferenceIndex.build(NAMES, root=evaluation, folder=tmp_path / "index")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(name == "index.json" or name.endswith(".tmp") for name in os.listdir(tmp_path / "index"))


@pytest.mark.parametrize("damage", ["index.json", "descriptors.faiss", "hashes.npy"])
def test_a_damaged_index_is_refused(index, tmp_path, damage):
    index.save(tmp_path / "index")
    (tmp_path / "index" / damage).write_bytes(b"{}")
    with pytest.raises(InputError, match="holds no usable reference index"):
        ReferenceIndex.load(tmp_path / "index")


def test_the_fingerprint_follows_names_sizes_and_options(evaluation):
    first = fingerprint(NAMES, Options(), evaluation)
    assert first == fingerprint(NAMES, Options(), f"{evaluation}/.")
    assert first != fingerprint(NAMES[::-1], Options(), evaluation)
    assert first != fingerprint(NAMES, Options(min_inliers=6), evaluation)
    with open(evaluation / "1.png", "ab") as file:
        file.write(b"x")
    assert first != fingerprint(NAMES, Options(), evaluation)


def test_flat_pictures_match_only_flat_pictures_of_their_colour(tmp_path, save):
    def flat(name, *colour):
        save(tmp_path / name, np.full((50, 60, 3), colour, np.uint8))
        return name
    index = ReferenceIndex.build([flat("black.png", 0, 0, 0), flat("red.png", 200, 10, 10)], root=tmp_path)
    names = [flat("black.jpg", 0, 0, 0), flat("grey.png", 60, 60, 60), flat("red.bmp", 200, 10, 10),
             flat("blue.png", 10, 10, 200)]
    result = index.match(names, tmp_path)
    assert [(m.query, m.reference, m.reason, m.affine) for m in result.best()] == [
        ("black.jpg", "black.png", "hash", None), ("red.bmp", "red.png", "hash", None)]
    assert result.counts["no_local_features"] == 4


def test_duplicates_among_the_references_are_all_reported_and_one_is_blamed(evaluation, pool):
    (evaluation / "twin.png").write_bytes((evaluation / "0.png").read_bytes())
    index = ReferenceIndex.build(["twin.png", *NAMES], root=evaluation)
    for name in ("same.png", "jpeg.jpg"):
        result = index.match([name], pool)
        assert [m.reference for m in result.matches] == ["0.png", "twin.png"]
        assert len(result.best()) == 1


def thumbnails(files):
    """An embedding any picture fits: 8 x 8 grey levels around their mean."""
    greys = [cv2.imread(file, cv2.IMREAD_GRAYSCALE) for file in files]
    rows = [cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA).ravel() for grey in greys]
    return np.stack(rows) - np.mean(rows, axis=1, keepdims=True)


def test_an_embedding_proposes_pairs_and_may_decide_alone(evaluation, pool, photo, save):
    blurred = cv2.GaussianBlur(photo(2), (0, 0), 14)        # no key point in common with the original
    save(pool / "blurred.png", blurred)
    options = Options(embedding="thumbnails", t_cand=0.9, t_auto=0.97)
    index = ReferenceIndex.build(NAMES, options, evaluation, thumbnails)
    best = found(index, pool, "blurred.png", "jpeg.jpg", "other10.jpg", "missing.jpg")
    assert set(best) == {"blurred.png", "jpeg.jpg"}
    assert best["blurred.png"].reference == "2.png" and best["blurred.png"].reason == "feature"
    assert best["blurred.png"].cosine >= 0.97 and best["jpeg.jpg"].cosine > 0.99


def test_an_embedding_needs_a_name_and_one_row_per_file(evaluation):
    with pytest.raises(InputError, match="give both"):
        ReferenceIndex.build(NAMES, root=evaluation, embed=thumbnails)
    with pytest.raises(InputError, match=r"shape \(2, 4\) for 3 files"):
        ReferenceIndex.build(NAMES, Options(embedding="x"), evaluation, lambda files: np.ones((2, 4)))
