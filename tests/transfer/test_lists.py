from __future__ import annotations

import shutil
from collections import Counter

import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.transfer.lists import hold_out, read_lists

NAMES = ["ash", "birch tree", "cedar", "elm"]


def manifest_of(*counts):
    labels = np.concatenate([np.full(count, label) for label, count in enumerate(counts)])
    return Manifest(".", [f"{label}/{row}.png" for row, label in enumerate(labels)], labels)


@pytest.mark.parametrize("share, expected", [(0.25, {0: 1, 1: 5, 2: 25}), (0.01, {0: 1, 1: 1, 2: 1}),
                                             (0.99, {0: 1, 1: 19, 2: 99})])
def test_a_share_of_each_class_is_held_out_and_some_of_each_remains(share, expected):
    manifest = manifest_of(2, 20, 100)
    train, held = hold_out(manifest, share, seed=0)
    assert Counter(held.label.tolist()) == expected
    assert not set(train.path) & set(held.path) and set(train.path) | set(held.path) == set(manifest.path)


def test_the_seed_decides_who_is_held_out():
    manifest = manifest_of(10, 10)
    parts = [list(hold_out(manifest, 0.3, seed)[1].path) for seed in (0, 0, 1)]
    assert parts[0] == parts[1] != parts[2]


def test_a_class_with_a_single_image_cannot_be_held_out_of(plan_of, tmp_path):
    with pytest.raises(InputError, match=r"class 1 has a single image, 1/2\.png; 0\.25 of each class"):
        hold_out(manifest_of(2, 1), 0.25, 0)
    for file in sorted((tmp_path / "train" / "cedar").iterdir())[1:]:
        file.unlink()
    with pytest.raises(InputError, match=r"class 2 'cedar' has a single image, cedar/0\.png"):
        read_lists(plan_of(), searching=True)
    assert read_lists(plan_of(), searching=False).train is None


def test_unreadable_pictures_and_copies_are_counted_and_left_out(plan_of, tmp_path, capsys):
    (tmp_path / "train" / "ash" / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    shutil.copy(tmp_path / "train" / "elm" / "0.png", tmp_path / "train" / "elm" / "z.png")
    lists = read_lists(plan_of(), searching=True)
    said = capsys.readouterr().out
    assert "1 of 26 images cannot be read and are left out:\n  ash/broken.jpg" in said
    assert "1 of 26 images are copies of others" in said
    assert "4 classes; 24 images to learn from, 8 of them to choose settings by, 16 to measure the result on" in said
    assert len(lists.all) == 24 and "elm/z.png" not in set(lists.all.path) and lists.class_names == NAMES


def test_a_class_without_a_readable_picture_is_refused_by_name(plan_of, tmp_path):
    for file in (tmp_path / "train" / "elm").iterdir():
        file.write_text("this is no picture")
    with pytest.raises(InputError, match="no image of these classes can be read: 3 'elm'"):
        read_lists(plan_of(), searching=True)


def test_an_evaluation_image_among_the_training_images_is_refused(plan_of, tmp_path):
    shutil.copy(tmp_path / "eval" / "ash" / "1.png", tmp_path / "train" / "cedar" / "stray.png")
    with pytest.raises(InputError, match="1 images of the training list are in the evaluation list too"):
        read_lists(plan_of(), searching=True)


def test_validation_images_of_one_s_own_may_be_neither_trained_on_nor_evaluated_on(plan_of, tmp_path, make_folders):
    make_folders(tmp_path / "own", {"ash": 2, "elm": 3}, 7)
    lists = read_lists(plan_of({"validation": {"image_root": str(tmp_path / "own")}}), searching=True)
    assert lists.train is lists.all and lists.validation.label.tolist() == [0, 0, 3, 3, 3]
    shutil.copy(tmp_path / "eval" / "ash" / "1.png", tmp_path / "own" / "ash" / "stray.png")
    with pytest.raises(InputError, match="are in the evaluation list too"):
        read_lists(plan_of({"validation": {"image_root": str(tmp_path / "own")}}), searching=True)


@pytest.fixture
def listed(section, tmp_path):
    """The same images as lists."""
    for name in ("train", "eval"):
        files = sorted(tmp_path.glob(f"{name}/*/*.png"))
        rows = [(path.relative_to(tmp_path), NAMES.index(path.parent.name)) for path in files]
        (tmp_path / f"{name}.txt").write_text("".join(f"{path} {label}\n" for path, label in rows))
        section[name] = {"image_root": str(tmp_path), "cls_label_path": str(tmp_path / f"{name}.txt")}
    return section


def test_lists_say_the_classes_by_number_and_a_file_says_their_names(listed, plan_of, tmp_path):
    lists = read_lists(plan_of(), searching=False)
    assert lists.class_num == 4 and lists.class_names is None and len(lists.all) == 24
    (tmp_path / "names.txt").write_text("".join(f"{number} {name}\n" for number, name in enumerate(NAMES)))
    assert read_lists(plan_of({"class_names": str(tmp_path / "names.txt")}), searching=False).class_names == NAMES
    (tmp_path / "names.txt").write_text("ash\nelm\n")
    with pytest.raises(InputError, match="names 2 classes, the student has 4"):
        read_lists(plan_of({"class_names": str(tmp_path / "names.txt")}), searching=False)


@pytest.mark.parametrize("old, new, message", [(" 2\n", "\n", "6 of 24 images have no label"),
                                               (" 2\n", " 5\n", "no image of these classes can be read: 2, 4")])
def test_lists_with_gaps_are_refused(listed, plan_of, tmp_path, old, new, message):
    text = (tmp_path / "train.txt").read_text()
    (tmp_path / "train.txt").write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_lists(plan_of(), searching=True)


def test_labels_that_the_training_images_do_not_have_are_refused(listed, plan_of, tmp_path):
    (tmp_path / "eval.txt").write_text((tmp_path / "eval.txt").read_text().replace(" 3\n", " 4\n"))
    with pytest.raises(InputError, match="label 4 is out of range, the task has 4 classes"):
        read_lists(plan_of(), searching=True)


def test_what_is_written_can_be_read_by_a_training(plan_of, tmp_path):
    lists = read_lists(plan_of(), searching=True)
    digests = lists.write(tmp_path / "lists")
    assert set(digests) == {"all", "train", "validation", "eval"}
    again = Manifest.read(tmp_path / "lists" / "all.txt", tmp_path / "train")
    assert list(again.path) == list(lists.all.path) and (again.label == lists.all.label).all()
    assert (tmp_path / "lists" / "classes.txt").read_text() == "0 ash\n1 birch tree\n2 cedar\n3 elm\n"
