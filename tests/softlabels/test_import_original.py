from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from dedup.images import ImageError
from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.softlabels import import_original as module
from ssld.softlabels.codec import Codec
from ssld.softlabels.image_size import image_size
from ssld.softlabels.import_original import Importer, import_original
from ssld.softlabels.original_tree import OriginalTree
from ssld.softlabels.store import META, Store

CLASSES, CROPS = 50, 9
NAMES = ["train/n01/a.JPEG", "train/n01/b.c.JPEG", "train/n02/a.JPEG", "train/n02/d e.png", "train/n.3/ü.JPEG"]


class World:
    """Images of several sizes, their list, and label files with what is in them."""

    def __init__(self, folder: Path, make_original):
        self.folder, self.make_original = folder, make_original
        self.images, self.labels = folder / "images", folder / "labels"
        self.rng = np.random.default_rng(7)
        self.boxes, self.flips, self.dense = {}, {}, {}
        for number, name in enumerate(NAMES):
            (self.images / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imencode(".png" if name.endswith("png") else ".jpg", self.pixels(number))[1].tofile(self.images / name)
        (folder / "list.txt").write_text("".join(f"{name}\t{i % CLASSES}\n" for i, name in enumerate(NAMES)))

    def pixels(self, number: int) -> np.ndarray:
        return self.rng.integers(0, 255, (30 + 7 * number, 61 - 5 * number, 3), np.uint8)

    def probabilities(self, count=CROPS) -> np.ndarray:
        logits = self.rng.normal(0, 3, (count, CLASSES))
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def label(self, kind: str, k: int, float_type) -> tuple[np.ndarray, np.ndarray]:
        """What the original writes, and the distributions that this means, after section 3 of the paper."""
        dense = self.probabilities()
        ids = np.argsort(-dense, axis=1)[:, :k]
        kept = np.take_along_axis(dense, ids, 1).astype(float_type)
        written = {"hard": ids[:, 0].astype(np.int64 if float_type == np.float32 else float_type),
                   "smoothing": np.stack([ids[:, 0], kept[:, 0]], 1).astype(float_type), "full": dense.astype(float_type)}
        label = written.get(kind, np.stack([ids, kept], 1).astype(float_type))
        meant = np.zeros((CROPS, CLASSES))
        for row, (some, values) in enumerate(zip(ids, kept.astype(np.float64))):
            total = values.sum()
            if kind == "hard":
                meant[row, some[0]] = 1
            elif kind == "full":
                meant[row] = label[row].astype(np.float64) / label[row].astype(np.float64).sum()
            elif kind == "marginal_renorm":
                meant[row, some] = values / total
            else:
                meant[row] = max(1 - total, 0) / (CLASSES - k)
                meant[row, some] = values / max(total, 1)
        return label, meant

    def write(self, kind="marginal_smoothing", k=5, float_type=np.float32, below="imagenet/train", names=NAMES):
        for name in names:
            height, width = self.size(name)
            size = self.rng.integers(1, [height, width], (CROPS, 2), endpoint=True)
            boxes = np.concatenate([self.rng.integers(0, [height, width] - size, endpoint=True), size], 1)
            coords = (boxes / [height, width, height, width]).astype(float_type)
            flips = self.rng.random(CROPS) < 0.5
            label, self.dense[name] = self.label(kind, k, float_type)
            self.boxes[name], self.flips[name] = boxes, flips
            self.make_original(self.file(name, below), [coords, flips, label])
        return self

    def file(self, name: str, below="imagenet/train") -> Path:
        return self.labels / below / Path(name).parent.name / f"{Path(name).stem}.tar"

    def size(self, name: str) -> tuple[int, int]:
        with Image.open(self.images / name) as image:
            return image.height, image.width

    def importer(self, **options) -> Importer:
        manifest = Manifest.read(self.folder / "list.txt", self.images, "\t")
        return Importer(OriginalTree(self.labels, manifest), options.pop("class_num", CLASSES), **options)

    def run(self, out="store", missing=0.001, teacher=None, **options) -> Store:
        return import_original(self.importer(**options), self.folder / out, teacher, missing, show_progress=False)


@pytest.fixture
def world(tmp_path, make_original):
    return World(tmp_path, make_original)


@pytest.mark.parametrize("float_type", [np.float32, np.float16])
@pytest.mark.parametrize("kind, k", [("hard", 1), ("smoothing", 1), ("marginal_smoothing", 5), ("marginal_smoothing", 10),
                                     ("marginal_renorm", 5), ("full", CLASSES)])
def test_boxes_and_flips_are_exact_and_labels_mean_the_same(world, kind, k, float_type):
    store = world.write(kind, k, float_type).run(kind=kind)
    assert (store.codec.kind, store.codec.k, store.crops, store.class_num) == (kind, k, CROPS, CLASSES)
    for row, name in enumerate(NAMES):
        records = store.records(row)
        crops = store.codec.crops(records)
        assert np.array_equal(crops.box, world.boxes[name]) and np.array_equal(crops.flip, world.flips[name])
        error = np.abs(store.codec.dense(records) - world.dense[name]).max()
        # a logarithm in half precision is exact to 0.4 % of the probability; renormalising divides the error by the kept mass
        assert error < {"full": 2e-3, "marginal_renorm": 1e-4}.get(kind, 2e-5)
    assert store.images.readable.all() and list(store.images.path) == NAMES
    assert store.images.label.tolist() == [0, 1, 2, 3, 4]
    assert list(zip(store.images.height, store.images.width)) == [world.size(name) for name in NAMES]


def test_half_precision_that_sums_to_more_than_one_leaves_nothing_negative(world, make_original):
    world.write()
    kept = np.array([0.4995, 0.3, 0.2006, 0, 0], np.float16)            # 1.0001
    label = np.stack([np.arange(5, dtype=np.float16), kept])[None].repeat(CROPS, 0)
    coords = np.tile(np.array([0, 0, 1, 1], np.float16), (CROPS, 1))
    assert kept.astype(np.float64).sum() > 1
    make_original(world.file(NAMES[0]), [coords, np.zeros(CROPS, bool), label])
    store = world.run()
    dense = store.codec.dense(store.records(0))
    wide = kept.astype(np.float64)
    assert (dense >= 0).all() and np.abs(dense[:, :5] - wide / wide.sum()).max() < 2e-5


@pytest.mark.parametrize("below", ["", "train", "imagenet/train", "a/b/c"])
def test_trees_that_begin_at_any_depth_are_matched_by_class_folder_and_name(world, below):
    world.write(below=below)
    store = world.run()
    for row, name in enumerate(NAMES):
        assert np.array_equal(store.codec.crops(store.records(row)).box, world.boxes[name])


def test_a_list_without_folders_is_matched_by_name(world):
    names = [Path(name).name for name in NAMES if Path(name).stem != "a"]
    for name in NAMES:
        (world.images / Path(name).name).write_bytes((world.images / name).read_bytes())
    (world.folder / "list.txt").write_text("".join(f"{name}\t0\n" for name in names))
    for name in names:
        height, width = world.size(name)
        world.make_original(world.labels / f"{Path(name).stem}.tar",
                            [np.ones((1, 4), np.float32) * [0, 0, 1, 1], np.zeros(1, bool), np.array([3])])
    assert world.run().images.readable.all()


def test_names_that_differ_behind_a_dot_stay_apart(world, make_original):
    (world.images / "train/n01/b.d.JPEG").write_bytes((world.images / NAMES[0]).read_bytes())
    with open(world.folder / "list.txt", "a") as file:
        file.write("train/n01/b.d.JPEG\t0\n")
    world.write(names=[*NAMES, "train/n01/b.d.JPEG"])
    store = world.run()
    for row, name in ((1, NAMES[1]), (5, "train/n01/b.d.JPEG")):
        assert np.array_equal(store.codec.crops(store.records(row)).box, world.boxes[name])


def test_two_images_for_one_file_and_two_files_for_one_image_are_refused(world):
    world.write()
    with open(world.folder / "list.txt", "a") as file:
        file.write("val/n01/a.png\t0\n")
    with pytest.raises(InputError, match=r"n01/a.tar could belong to .*list.txt:1 .*list.txt:6 \(val/n01/a.png\)"):
        world.importer()
    world.write(below="val", names=NAMES[:1])
    with pytest.raises(InputError, match="val/n01 both have a.tar|train/n01 both have a.tar|n01 and .* both have a.tar"):
        world.importer()


def test_images_without_labels_are_listed_and_entered_as_unreadable(world, capsys):
    world.write(names=NAMES[:4])
    with pytest.raises(InputError, match=r"1 of 5 images have no label file below .*\n  .*list.txt:5 \(train/n.3/ü.JPEG\)"):
        world.run()
    assert not (world.folder / "store").exists()
    store = world.run(missing=0.2)
    assert store.images.readable.tolist() == [True] * 4 + [False] and "list.txt:5" in capsys.readouterr().err
    assert not store.records(4)["box"].any()


def test_images_that_cannot_be_read_count_as_missing(world, capsys):
    world.write()
    (world.images / NAMES[0]).write_bytes(b"no picture")
    (world.images / NAMES[2]).unlink()
    with pytest.raises(InputError, match=r"2 of 5 images could not be read(.|\n)*list.txt:1 (.|\n)*list.txt:3 "):
        world.run(missing=0.3)
    store = world.run("other", missing=0.4)
    assert store.images.readable.tolist() == [False, True, False, True, True]
    assert "2 images could not be read" in capsys.readouterr().err


def test_the_number_of_crops_must_agree_unless_fewer_are_asked_for(world, make_original):
    world.write()
    coords = np.tile(np.array([0, 0, 1, 1], np.float32), (4, 1))
    pairs = np.stack([np.arange(5), np.full(5, 0.1)])[None].repeat(4, 0).astype(np.float32)
    make_original(world.file(NAMES[3]), [coords, np.zeros(4, bool), pairs])
    with pytest.raises(InputError, match="d e.tar has 4 crops, expected 9. Give --crops N"):
        world.run()
    with pytest.raises(InputError, match="d e.tar has 4 crops, expected 5"):
        world.run("other", crops=5)
    with pytest.raises(InputError, match="--crops must be a whole number of at least 1, not 0"):
        world.run("none", crops=0)
    store = world.run("third", crops=3)
    assert store.crops == 3 and np.array_equal(store.codec.crops(store.records(0)).box, world.boxes[NAMES[0]][:3])


def test_one_tree_holds_one_kind(world):
    world.write(names=NAMES[:3]).write(k=10, names=NAMES[3:])
    with pytest.raises(InputError, match=r"d e.tar has labels of the shape \[2, 10\] .* the files before it \[2, 5\]"):
        world.run()
    with pytest.raises(InputError, match=r"a.tar has labels of the shape \[9, 2, 5\], which can be .* not hard"):
        world.run(kind="hard")


@pytest.mark.parametrize("change, said", [
    (lambda label: label + [[[100], [0]]], r"the class \d+ is out of range: .* has 50 classes"),
    (lambda label: label + [[[0.5], [0]]], "no whole numbers"), (lambda label: label * [[[1], [3]]], "sums to"),
    (lambda label: label * [[[0], [1]]], "names a class twice"), (lambda label: label[:, :, ::-1], "descending"),
    (lambda label: label - [[[0], [0.5]]], "is no distribution")])
def test_labels_that_cannot_be_are_refused_naming_the_file(world, make_original, change, said):
    world.write()
    coords = np.tile(np.array([0, 0, 1, 1], np.float32), (CROPS, 1))
    label = change(world.label("marginal_smoothing", 5, np.float32)[0]).astype(np.float32)
    make_original(world.file(NAMES[1]), [coords, np.zeros(CROPS, bool), label])
    with pytest.raises(InputError, match=rf"b\.c\.tar.*{said}"):
        world.run()


@pytest.mark.parametrize("factor", [0.5, 1.01])
def test_full_labels_that_do_not_sum_to_one_are_refused_naming_the_file(world, make_original, factor):
    world.write("full")
    coords = np.tile(np.array([0, 0, 1, 1], np.float32), (CROPS, 1))
    make_original(world.file(NAMES[1]), [coords, np.zeros(CROPS, bool), (factor * world.probabilities()).astype(np.float32)])
    with pytest.raises(InputError, match=r"b\.c\.tar: label 0 is no distribution: it sums to"):
        world.run()


def test_full_labels_of_another_number_of_classes_are_refused(world):
    with pytest.raises(InputError, match=r"a.tar: labels of the shape \[9, 50\] do not fit"):
        world.write("full").run(class_num=51)


def test_a_damaged_label_file_is_refused_and_can_be_taken_away(world):
    world.write()
    file = world.file(NAMES[4])
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(InputError, match="ü.tar .*remove it: its image then counts as one without labels"):
        world.run()
    file.unlink()
    assert world.run("other", missing=0.2).images.readable.sum() == 4


def test_boxes_of_an_image_of_another_size_are_rounded_with_a_warning(world, capsys):
    world.write()
    cv2.imencode(".jpg", np.zeros((83, 97, 3), np.uint8))[1].tofile(world.images / NAMES[0])
    store = world.run()
    box = store.codec.crops(store.records(0)).box
    assert (box[:, :2] + box[:, 2:] <= [83, 97]).all()
    assert "crops of 1 images are no whole pixels" in capsys.readouterr().err


def test_the_store_says_where_it_comes_from(world):
    meta = world.write().run(teacher="EfficientNet-L2-475").meta
    assert meta["origin"] == {"format": "original FKD files", "source": str(world.labels)}
    assert meta["teachers"] == [{"name": "EfficientNet-L2-475"}] and meta["image_root"] == str(world.images)
    assert world.run("other").meta["teachers"] is None and meta["input_size"] is None and meta["seed"] is None


def test_an_interrupted_import_goes_on_and_ends_with_the_same_bytes(world, monkeypatch):
    whole = world.write().run("whole")
    monkeypatch.setattr(module, "_IMAGES_AT_ONCE", 1)
    read, calls = Importer.read, itertools.count()

    def stop_at_the_fourth(self, first, stop):
        if next(calls) == 3:
            raise KeyboardInterrupt
        return read(self, first, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Importer, "read", stop_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            world.run("store")
    assert not (world.folder / "store" / META).exists()
    again = world.run("store")
    assert [s["sha256"] for s in again.meta["shards"]] == [s["sha256"] for s in whole.meta["shards"]]
    assert np.array_equal(again.images.height, whole.images.height) and again.images.readable.all()


def test_an_import_into_a_store_of_something_else_is_refused(world):
    world.write().run()
    with pytest.raises(InputError, match="store"):
        world.run(crops=3)


def test_a_folder_without_label_files_is_refused(world):
    world.labels.mkdir()
    with pytest.raises(InputError, match=r"there are no label files \(\*.tar\) below .*labels"):
        world.importer()


def test_a_tree_of_other_images_is_refused(world):
    world.write(names=NAMES[:1])
    world.labels.joinpath("imagenet/train/n01").rename(world.labels / "imagenet/train/n99")
    with pytest.raises(InputError, match="5 of 5 images have no label file"):
        world.importer()


def test_class_numbers_beyond_sixteen_bits_are_refused(world):
    with pytest.raises(InputError, match="at most 65,535"):
        world.write().importer(class_num=70_000)


# ---- sizes

@pytest.mark.parametrize("format, mode", [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("WEBP", "RGB"),
                                          ("GIF", "P"), ("BMP", "RGB")])
def test_the_size_of_a_picture_is_read_from_its_head(tmp_path, format, mode):
    Image.new(mode, (53, 31)).save(tmp_path / "x.jpg", format)          # whatever the name says
    assert image_size(tmp_path / "x.jpg") == (53, 31)


def test_the_orientation_of_a_picture_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (53, 31)).save(tmp_path / "x.jpg", exif=exif)
    assert cv2.imread(str(tmp_path / "x.jpg")).shape[:2] == (53, 31)    # turned upright
    assert image_size(tmp_path / "x.jpg") == (53, 31)


def test_a_frame_behind_much_else_is_found(tmp_path):
    Image.new("RGB", (53, 31)).save(tmp_path / "x.jpg", icc_profile=b"x" * 200_000)
    assert image_size(tmp_path / "x.jpg") == (53, 31)


@pytest.mark.parametrize("content", [None, b"", b"no picture", b"\xff\xd8\xff\xc0\x00\x11\x08"])
def test_what_is_no_picture_has_no_size(tmp_path, content):
    if content is not None:
        (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError):
        image_size(tmp_path / "x.jpg")


def test_a_codec_keeps_the_pairs_of_an_original_file_within_its_step():
    codec = Codec("marginal_smoothing", 3, CLASSES)
    ids, kept = np.array([[4, 0, 11]]), np.array([[0.7, 0.2, 0.05]])
    found, values = codec.top(codec.encode_top(ids, kept, codec.crops(np.zeros(1, codec.dtype))))
    assert np.array_equal(found, ids) and (kept - values > -1e-7).all() and (kept - values < 1.6e-5).all()
