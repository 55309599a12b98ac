from __future__ import annotations

import numpy as np
import pytest

from ssld.data.dataset import READABLE, ImageNetDataset, UnreadableImages, Visit
from ssld.errors import InputError

OPS = [{"DecodeImage": {}}, {"RandCropImage": {"size": 8}}, "RandFlipImage", "NormalizeImage", "ToCHWImage"]


@pytest.fixture
def build(tmp_path, make_list):
    """A dataset of ten pictures; files may be damaged before it is built."""
    make_list(tmp_path, "train", 10)

    def build(ops=OPS, **options):
        return ImageNetDataset(str(tmp_path), str(tmp_path / "train.txt"), ops, **options)
    return build


def test_a_sample_holds_image_label_and_row(build):
    sample = build()[Visit(6, 0)]
    assert sample["image"].shape == (3, 8, 8) and sample["image"].dtype == np.float32
    assert (sample["label"], sample["index"], sample["unreadable"]) == (2, 6, READABLE)
    assert all(sample[key].dtype == np.int64 for key in ("label", "index", "unreadable"))


def test_augmentation_depends_on_seed_pass_and_row_and_on_nothing_else(build):
    image = build()[Visit(6, 1)]["image"]
    dataset = build()
    for row in (1, 4, 9):
        dataset[Visit(row, 0)]
    np.testing.assert_array_equal(dataset[Visit(6, 1)]["image"], image)
    assert (dataset[Visit(6, 2)]["image"] != image).any()
    assert (build(seed=1)[Visit(6, 1)]["image"] != image).any()


def test_copies_of_an_image_in_one_pass_differ_and_the_first_is_that_of_a_pass_with_one(build):
    first, second, third = (build()[Visit(6, 1, copy=copy)] for copy in range(3))
    np.testing.assert_array_equal(first["image"], build()[Visit(6, 1)]["image"])
    assert (first["image"] != second["image"]).any() and (second["image"] != third["image"]).any()
    np.testing.assert_array_equal(build()[Visit(6, 1, copy=2)]["image"], third["image"])
    assert first["index"] == second["index"] == 6 and (build()[Visit(6, 2, copy=1)]["image"] != second["image"]).any()


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_an_unreadable_image_is_replaced_by_the_next_readable_one_and_named(build, tmp_path, content):
    for row in (6, 7):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(content)
    dataset = build()
    sample, neighbour = dataset[Visit(6, 3)], dataset[Visit(8, 3)]
    assert (sample["index"], sample["label"], sample["unreadable"]) == (8, 0, 6)
    np.testing.assert_array_equal(sample["image"], neighbour["image"])


def test_the_last_row_is_replaced_by_the_first(build, tmp_path):
    (tmp_path / "train" / "9.jpg").write_bytes(b"")
    assert build()[Visit(9, 0)]["index"] == 0


def test_a_file_that_disappears_during_the_run_counts_as_unreadable(build, tmp_path):
    dataset = build()
    (tmp_path / "train" / "6.jpg").unlink()
    assert dataset[Visit(6, 0)]["unreadable"] == 6


def test_a_list_without_any_readable_image_is_an_error_not_an_endless_search(build, tmp_path):
    for row in range(10):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"images in a row cannot be read, beginning with .*train\.txt:4 \(train/3\.jpg\)"):
        build()[Visit(3, 0)]


def test_unreadable_images_are_counted_once_and_named(build):
    counter = UnreadableImages(build(max_bad_fraction=0.25))
    assert counter.update(np.array([-1, 4, -1, 4])) and counter.rows == {4}
    assert counter.update(np.array([4, -1])) == []
    assert [place.split(":")[-1] for place in counter.update(np.array([9]))] == ["10 (train/9.jpg)"]
    assert counter.rows == {4, 9}


def test_more_unreadable_images_than_the_limit_stop_the_run_and_are_listed(build):
    counter = UnreadableImages(build(max_bad_fraction=0.2))
    counter.update(np.array([4, 9]))
    with pytest.raises(InputError, match=r"(?s)3 of 10 images cannot be read, more than max_bad_fraction 0\.2.*"
                                         r"train/2\.jpg.*train/4\.jpg.*train/9\.jpg"):
        counter.update(np.array([2]))


def test_the_default_limit_is_one_in_a_thousand(build):
    assert build().max_bad_fraction == 0.001
    with pytest.raises(InputError, match="1 of 10"):
        UnreadableImages(build()).update(np.array([4]))


def test_missing_files_are_an_error_above_the_limit_and_left_out_below(build, tmp_path, capsys):
    (tmp_path / "train" / "6.jpg").unlink()
    with pytest.raises(InputError, match=r"(?s)1 of 10 images .* do not exist under .*train\.txt:7 \(train/6\.jpg\)"):
        build()
    dataset = build(max_bad_fraction=0.1)
    assert len(dataset) == 9 and dataset[Visit(6, 0)]["label"] == 3
    assert dataset.manifest.place(6).endswith("train.txt:8 (train/7.jpg)")
    assert "train.txt:7 (train/6.jpg)\nThey are left out." in capsys.readouterr().err


def test_the_search_for_missing_files_can_be_left_out(build, tmp_path):
    (tmp_path / "train" / "6.jpg").unlink()
    assert len(build(check_files=False)) == 10


@pytest.mark.parametrize("limit", [-0.1, 1.1, "many"])
def test_a_limit_that_is_no_share_is_refused(build, limit):
    with pytest.raises(InputError, match="max_bad_fraction must lie between 0 and 1"):
        build(max_bad_fraction=limit)
