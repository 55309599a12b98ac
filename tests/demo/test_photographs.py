from __future__ import annotations

import csv
import io
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("skimage")
from PIL import Image, ImageChops, ImageOps  # noqa: E402

from ssld.demo import photographs  # noqa: E402
from ssld.demo.photographs import Sizes, Variation, cut, cut_patches, make_task, shared  # noqa: E402
from ssld.errors import InputError  # noqa: E402

SMALL = Sizes(train=2, val=3, clean=3, foreign=8, copies=60, corrupt=4, missing=2)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return make_task(tmp_path_factory.mktemp("photographs") / "task", sizes=SMALL)


@pytest.fixture(scope="module")
def classes():
    return photographs.read_photographs(photographs.CLASSES, fewest=14, grey=False)


def truth_of(task) -> list:
    with open(task.truth, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def labelled(file: Path) -> list:
    return [(line.split()[0], int(line.split()[1])) for line in file.read_text().splitlines()]


def content(folder: Path) -> dict:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def noise(size: tuple, seed: int) -> Image.Image:
    return Image.frombytes("RGB", size, random.Random(seed).getrandbits(24 * size[0] * size[1]).to_bytes(
        3 * size[0] * size[1], "big"))


def without_bar(image: Image.Image) -> Image.Image:
    return image.crop((0, 0, image.width, image.height - 12))


def test_no_pixel_of_an_evaluation_patch_occurs_in_a_training_or_pool_patch(classes):
    wanted = {"train": 14, "val": 20, "pool": 68}
    for name, photograph in classes.items():
        boxes = {purpose: [patch.box for patch, _ in pairs] for purpose, pairs in cut_patches(
            name, photograph, wanted, photographs.PURPOSES, Variation(), seed=3).items()}
        assert {purpose: len(of_purpose) for purpose, of_purpose in boxes.items()} == wanted
        for one, other in (("val", "train"), ("val", "pool"), ("train", "pool")):
            assert not any(shared(a, b) for a in boxes[one] for b in boxes[other]), (name, one, other)


def test_boxes_share_the_pixels_of_their_intersection():
    assert shared((0, 0, 10, 10), (7, 8, 20, 20)) == 6
    assert shared((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    assert shared((0, 0, 10, 10), (20, 20, 30, 30)) == 0


def test_nothing_outside_its_box_changes_a_patch(classes):
    photograph = classes["gravel"]
    pairs = cut_patches("gravel", photograph, {"val": 4}, ("val",), Variation(rotation=12), seed=0)["val"]
    for patch, image in pairs:
        elsewhere = noise(photograph.size, seed=1)
        elsewhere.paste(photograph.crop(patch.box), patch.box[:2])
        assert cut(elsewhere, patch).tobytes() == image.tobytes()


def test_no_pixel_of_a_photograph_reaches_over_the_margins_of_two_cells_when_resized(tmp_path):
    for size in ((448, 172), (384, 303), (1411, 1411)):         # the smallest, a middle one, the largest
        original = Image.new("L", size, 128)
        original.putpixel((size[0] // 2, size[1] // 2), 255)
        original.save(tmp_path / "dot.png")
        resized = photographs.read_photograph(tmp_path / "dot.png", grey=True).convert("L")
        left, top, right, bottom = resized.point(lambda level: 255 * (level != 128)).getbbox()
        assert max(right - left, bottom - top) <= 2 * photographs.MARGIN


def test_a_turned_patch_has_no_empty_corner():
    white = Image.new("RGB", (512, 512), "white")
    for angle in (-45, -12.3, 0, 7, 45):
        side = photographs.reach(61.7, angle)
        patch = photographs.Patch((5, 9, 5 + side, 9 + side), 61.7, angle, (1, 1, 1))
        assert cut(white, patch).getextrema() == ((255, 255),) * 3


def test_evaluation_patches_come_from_several_places_of_each_photograph(classes):
    for name, photograph in classes.items():
        pairs = cut_patches(name, photograph, {"val": 20}, photographs.PURPOSES, Variation(), seed=0)["val"]
        centres = [((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for box in (patch.box for patch, _ in pairs)]
        spread = max(max(values) - min(values) for values in zip(*centres))
        assert spread > 128, name           # further apart than two points of one cell


def test_every_patch_has_the_contrast_asked_for(classes):
    for name in ("rocket", "retina"):       # the ones with most sky and most black
        pairs = cut_patches(name, classes[name], {"pool": 30}, photographs.PURPOSES, Variation(contrast=11), seed=0)
        assert min(photographs.contrast(image) for _, image in pairs["pool"]) >= 11


def test_patches_without_variation_are_plain_cuttings_of_the_photograph(classes):
    still = Variation(window=(64, 64), rotation=0, jitter=0)
    patch, image = cut_patches("brick", classes["brick"], {"val": 1}, ("val",), still, seed=0)["val"][0]
    left, top = patch.box[0] + 1, patch.box[1] + 1
    assert image.tobytes() == classes["brick"].crop((left, top, left + 64, top + 64)).tobytes()


def test_lists_hold_as_many_images_of_each_kind_as_asked_for(task):
    names = task.classes.read_text().splitlines()
    assert len(names) == 14 and len(set(names)) == 14
    assert Counter(label for _, label in labelled(task.train_list)) == dict.fromkeys(range(14), 2)
    assert Counter(label for _, label in labelled(task.val_list)) == dict.fromkeys(range(14), 3)
    truth = truth_of(task)
    assert task.pool_list.read_text().splitlines() == [row["path"] for row in truth]
    kinds = {"clean": 42, "foreign": 8, "copy": 60, "corrupt": 4, "missing": 2}
    assert Counter(row["kind"] for row in truth) == kinds
    assert task.counts == {"classes": 14, "train": 28, "val": 42, "pool": 116, **kinds}
    assert Counter(row["source"] for row in truth if row["kind"] == "clean") == dict.fromkeys(names, 3)
    assert not {row["source"] for row in truth if row["kind"] == "foreign"} & set(names)


def test_every_listed_file_is_a_patch_except_the_corrupt_and_the_missing(task):
    truth = truth_of(task)
    patches = [path for path, _ in labelled(task.train_list) + labelled(task.val_list)]
    patches += [row["path"] for row in truth if row["kind"] in ("clean", "foreign")]
    for path in patches:
        with Image.open(task.root / path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
    for row in truth:
        if row["kind"] == "corrupt":
            with pytest.raises(OSError):
                Image.open(task.root / row["path"]).load()
        assert (task.root / row["path"]).exists() == (row["kind"] != "missing")
    on_disk = {f"images/{path.name}" for path in (task.root / "images").iterdir()}
    assert on_disk == set(patches) | {row["path"] for row in truth if row["kind"] != "missing"}


def test_a_copy_shows_its_evaluation_image_and_only_evaluation_images_are_copied(task):
    evaluation = {path for path, _ in labelled(task.val_list)}
    copies = [row for row in truth_of(task) if row["kind"] == "copy"]
    assert {row["source"] for row in copies} == evaluation          # 60 copies of 42 images: each at least once
    undo = {"exact": lambda image: image, "mirror": ImageOps.mirror, "compress": lambda image: image,
            "resize": lambda image: image.resize((64, 64)), "caption": without_bar}
    seen = Counter(row["edits"] for row in copies if row["edits"] in undo)
    assert len(seen) >= 4
    for row in copies:
        original, copy = task.root / row["source"], task.root / row["path"]
        assert (original.read_bytes() == copy.read_bytes()) == (row["edits"] == "exact")
        if row["edits"] in undo:
            difference = ImageChops.difference(undo[row["edits"]](Image.open(copy)), Image.open(original))
            # compression at quality 30 and a detour over 48 pixels cost the finest textures up to 20 grey levels
            assert photographs.ImageStat.Stat(difference.convert("L")).mean[0] < 20


@pytest.mark.parametrize("edit", ["crop", "mirror", "relight", "caption", "resize", "compress"])
def test_each_edit_does_what_its_name_says(edit, classes):
    original = photographs.encode(classes["coffee"].crop((200, 100, 264, 164)))
    rng = random.Random(0)
    sizes = set()
    for _ in range(20):
        copy = Image.open(io.BytesIO(photographs.edit(original, [edit], rng)))
        sizes.add(copy.size)
        if edit == "crop":
            assert 0.55 < copy.width * copy.height / 64 ** 2 < 0.95         # 60 to 90 %, and rounding to pixels
        if edit == "relight":
            before, after = (photographs.ImageStat.Stat(i.convert("L")).mean[0]
                             for i in (Image.open(io.BytesIO(original)), copy))
            assert abs(after / before - 1) > 0.1
    if edit == "resize":
        assert sizes == {(48, 48), (96, 96), (128, 128)}
    elif edit != "crop":
        assert sizes == {(64, 76) if edit == "caption" else (64, 64)}


def test_names_and_order_tell_nothing_about_the_kind(task):
    truth = truth_of(task)
    for row in truth:
        name = Path(row["path"]).name
        assert len(name) == 20 and set(name[:16]) <= set("0123456789abcdef") and name.endswith(".jpg")
    kinds = [row["kind"] for row in truth]
    changes = sum(one != other for one, other in zip(kinds, kinds[1:]))
    assert changes > len(kinds) / 4        # five sorted runs would have 4 changes, a random order about half


def test_the_same_arguments_give_the_same_bytes_and_another_seed_does_not(task, tmp_path):
    again = make_task(tmp_path / "elsewhere", sizes=SMALL)
    assert content(again.root) == content(task.root)
    other = make_task(tmp_path / "other", seed=1, sizes=SMALL)
    assert set(content(other.root)["pool_list.txt"].split()).isdisjoint(content(task.root)["pool_list.txt"].split())
    common = set(content(other.root / "images").values()) & set(content(task.root / "images").values())
    assert len(common) == 3                 # the contents of the corrupt files


def test_a_finished_task_is_left_alone(task):
    before = {path: path.stat().st_mtime_ns for path in task.root.rglob("*")}
    assert make_task(task.root, sizes=SMALL) == task
    assert {path: path.stat().st_mtime_ns for path in task.root.rglob("*")} == before


def test_a_task_that_was_interrupted_is_completed(task, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(photographs, "write_pool", interrupt)
        make_task(tmp_path, sizes=SMALL)
    assert not (tmp_path / "about.json").exists()
    assert content(make_task(tmp_path, sizes=SMALL).root) == content(task.root)


def test_a_folder_that_holds_another_task_is_refused(task, tmp_path):
    before = content(task.root)
    with pytest.raises(InputError, match="seed.*0.*seed.*7.*another folder"):
        make_task(task.root, seed=7, sizes=SMALL)
    assert content(task.root) == before
    (tmp_path / "about.json").write_text("{}")
    with pytest.raises(InputError, match="another folder"):
        make_task(tmp_path, sizes=SMALL)


def test_grey_patches_have_no_colour(tmp_path):
    task = make_task(tmp_path, sizes=Sizes(1, 1, 1, 4, 0, 0, 0), grey=True)
    for path in (task.root / "images").iterdir():
        red, green, blue = Image.open(path).split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()


def test_the_description_names_arguments_photographs_and_licence(task):
    about = json.loads(task.about.read_text())
    assert about["arguments"] == {"seed": 0, "sizes": SMALL._asdict(), "grey": False,
                                  "variation": {"window": [48, 72], "rotation": 12.0, "jitter": 0.2, "contrast": 12.0}}
    assert about["classes"] == task.classes.read_text().splitlines() and about["counts"] == task.counts
    assert "public domain" in about["licence"]


def test_the_twin_of_a_class_is_in_no_list():
    assert not {"motorcycle_right.png", "microaneurysms.png"} & {*photographs.CLASSES, *photographs.FOREIGN}


@pytest.mark.parametrize("sizes, variation, message", [
    (Sizes(train=0), Variation(), "sizes.train"),
    (Sizes(copies=-1), Variation(), "sizes.copies"),
    (Sizes(foreign=2.5), Variation(), "sizes.foreign"),
    (Sizes(), Variation(window=(96, 48)), "variation.window"),
    (Sizes(), Variation(window=(48, 130)), "variation.window"),
    (Sizes(), Variation(window=(48, 96), rotation=45), "variation.window"),
    (Sizes(), Variation(rotation=-1), "variation.rotation"),
    (Sizes(), Variation(jitter=1), "variation.jitter"),
    (Sizes(), Variation(contrast=128), "variation.contrast"),
    (SMALL, Variation(contrast=60), "contrast of 60 grey levels"),
])
def test_arguments_out_of_range_are_refused(sizes, variation, message, tmp_path):
    with pytest.raises(InputError, match=message):
        make_task(tmp_path, sizes=sizes, variation=variation)
    assert not list(tmp_path.iterdir())


def test_a_missing_scikit_image_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(InputError, match=r"pip install ssld\[demo\]"):
        make_task(tmp_path)


def test_absent_photographs_are_passed_over_and_too_few_are_an_error(tmp_path):
    files = ("brick.png", "no_such_photograph.png", "coins.png")
    assert list(photographs.read_photographs(files, fewest=2, grey=False)) == ["brick", "coins"]
    with pytest.raises(InputError, match="holds 2 of .*no_such_photograph.png.* 3 are needed"):
        photographs.read_photographs(files, fewest=3, grey=False)


def test_the_default_task_has_the_promised_shape(tmp_path):
    counts = make_task(tmp_path).counts
    assert counts["train"] / counts["classes"] == 20 and counts["val"] / counts["classes"] == 40
    assert 1200 <= counts["pool"] <= 1500
    assert 0.13 < counts["foreign"] / counts["pool"] < 0.17 and 0.10 < counts["copy"] / counts["pool"] < 0.12
