from __future__ import annotations

import gzip
import os
import shutil

import numpy as np
import pytest

from ssld.data.manifest import Manifest, check_labels, describe_rows, missing_files, refuse_overlap, same_paths
from ssld.errors import InputError


@pytest.fixture
def scored(tmp_path):
    """Five rows with columns, an unlabelled one, and names with blanks and letters beyond ASCII."""
    return Manifest(tmp_path, ["a/1.jpg", "a/2 x.jpg", "b/ü.jpg", "b/4.jpg", "7"], [0, 1, -1, 1, 3],
                    {"score": np.float32([0.5, 0.25, 1, 0, 0.125]), "source": np.array(["p", "qq", "p", "p", "q"])},
                    origin={"command": "ssld expand", "k": 3})


def same(a: Manifest, b: Manifest) -> bool:
    return (list(a.path) == list(b.path) and np.array_equal(a.label, b.label) and a.columns.keys() == b.columns.keys()
            and all(np.array_equal(a.columns[name], b.columns[name]) for name in a.columns))


def test_a_list_with_columns_and_origin_comes_back_as_it_was(scored, tmp_path):
    scored.write(tmp_path / "out" / "list.txt")
    read = Manifest.read(tmp_path / "out" / "list.txt", tmp_path)
    assert same(read, scored) and read.origin == {"command": "ssld expand", "k": 3} and read.root == tmp_path
    assert read.columns["score"].dtype == np.float32
    assert (tmp_path / "out" / "list.txt").read_text().splitlines()[:3] == ["a/1.jpg 0", "a/2 x.jpg 1", "b/ü.jpg -1"]


def test_a_plain_list_has_no_files_beside_it(scored, tmp_path):
    Manifest(tmp_path, scored.path, scored.label).write(tmp_path / "list.txt")
    assert [file.name for file in tmp_path.iterdir()] == ["list.txt"]


def test_writing_a_list_without_columns_removes_the_columns_of_an_older_one(scored, tmp_path):
    scored.write(tmp_path / "list.txt")
    Manifest(tmp_path, scored.path, scored.label).write(tmp_path / "list.txt")
    assert not Manifest.read(tmp_path / "list.txt").columns


def test_a_list_is_read_with_its_lines_and_its_own_folder_as_root(tmp_path):
    (tmp_path / "list.txt").write_text("\nx.jpg 3\n\ny.jpg\nz.jpg -1\n")
    read = Manifest.read(tmp_path / "list.txt")
    assert list(read.path) == ["x.jpg", "y.jpg", "z.jpg"] and read.label.tolist() == [3, -1, -1] and read.unlabelled == 2
    assert read.root == tmp_path and read.file(0) == tmp_path / "x.jpg"
    assert read.place(1) == f"{tmp_path / 'list.txt'}:4 (y.jpg)"


def test_compressed_lists_and_other_delimiters_are_read(tmp_path):
    with gzip.open(tmp_path / "list.txt.gz", "wt") as file:
        file.write("a b.jpg\t3\n")
    read = Manifest.read(tmp_path / "list.txt.gz", delimiter="\t")
    assert list(read.path) == ["a b.jpg"] and read.label.tolist() == [3]


def test_rows_are_taken_by_position_and_by_mask_with_their_columns(scored):
    for rows in ([3, 1, 1], np.array([False, True, False, True, False])):
        taken = scored.take(rows)
        expected = np.arange(5)[rows] if isinstance(rows, np.ndarray) else rows
        assert list(taken.path) == [scored.path[i] for i in expected]
        assert taken.columns["score"].tolist() == scored.columns["score"][expected].tolist()
        assert taken.label.tolist() == scored.label[expected].tolist()


def test_the_line_numbers_of_taken_rows_are_those_of_the_file(tmp_path):
    (tmp_path / "list.txt").write_text("x.jpg 3\ny.jpg 1\nz.jpg 1\n")
    taken = Manifest.read(tmp_path / "list.txt").take([2])
    assert taken.place(0).endswith("list.txt:3 (z.jpg)")


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_shards_follow_each_other_and_hold_every_row_once(scored, count):
    shards = list(scored.shards(count))
    sizes = [len(shard) for shard in shards]
    assert len(shards) == count and max(sizes) - min(sizes) <= 1
    assert [path for shard in shards for path in shard.path] == list(scored.path)


def test_new_columns_join_or_replace_the_old_ones_in_a_new_manifest(scored):
    more = scored.with_columns(score=np.zeros(5), rank=np.arange(5))
    assert set(more.columns) == {"score", "source", "rank"} and more.columns["score"].sum() == 0
    assert set(scored.columns) == {"score", "source"} and scored.columns["score"].sum() > 0


def test_columns_of_another_length_are_refused(scored):
    with pytest.raises(InputError, match="5 paths, but columns of other lengths: {'rank': 4}"):
        scored.with_columns(rank=np.arange(4))


@pytest.mark.parametrize("edit", [lambda lines: lines[:-1], lambda lines: lines[::-1]])
def test_an_edited_list_with_stale_columns_is_refused_by_name(scored, tmp_path, edit):
    scored.write(tmp_path / "list.txt")
    lines = (tmp_path / "list.txt").read_text().splitlines(keepends=True)
    (tmp_path / "list.txt").write_text("".join(edit(lines)))
    with pytest.raises(InputError, match="list.txt was edited after the columns in list.columns.npz"):
        Manifest.read(tmp_path / "list.txt")


@pytest.mark.parametrize("name, content", [("list.columns.npz", b"no zip"), ("list.columns.npz", b""),
                                           ("list.origin.json", b"{")])
def test_damaged_files_beside_a_list_are_refused_by_name(scored, tmp_path, name, content):
    scored.write(tmp_path / "list.txt")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name} cannot be read.*Remove it"):
        Manifest.read(tmp_path / "list.txt")


def test_columns_that_would_need_unpickling_are_refused(scored, tmp_path):
    class Call:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    scored.write(tmp_path / "list.txt")
    objects = np.empty(5, object)
    objects[:] = [Call()] * 5
    np.savez(tmp_path / "list.columns.npz", x=objects)
    with pytest.raises(InputError, match="cannot be read"):
        Manifest.read(tmp_path / "list.txt")
    assert not (tmp_path / "made").exists()


def test_labels_below_the_class_count_pass_and_the_highest_other_one_is_named(tmp_path):
    (tmp_path / "list.txt").write_text("x.jpg 3\ny.jpg 9\nz.jpg -1\nw.jpg 5\n")
    read = Manifest.read(tmp_path / "list.txt")
    check_labels(read, 10, "Net")
    with pytest.raises(InputError, match=r"list\.txt:2 \(y\.jpg\): label 9 is out of range, Net has 9 classes \(0 to 8\)"):
        check_labels(read, 9, "Net")


def test_only_ten_rows_are_described():
    manifest = Manifest(".", [f"{i}.jpg" for i in range(12)], np.zeros(12, int))
    text = describe_rows(manifest, range(12))
    assert text.count("\n") == 11 and "9.jpg" in text and "10.jpg" not in text and text.endswith("... and 2 more")
    assert "more" not in describe_rows(manifest, range(10))


@pytest.fixture
def two_lists(tmp_path, make_list):
    return [Manifest.read(make_list(tmp_path, name, 6)) for name in ("train", "val")]


def test_lists_of_different_images_do_not_overlap(two_lists):
    refuse_overlap(*two_lists)


def test_the_same_path_in_both_lists_is_refused(two_lists, tmp_path):
    train, val = two_lists
    shared = Manifest(tmp_path, [*train.path, "val/3.jpg"], np.zeros(7, int))
    with pytest.raises(InputError, match=r"1 images of the training list.*\n  val/3.jpg is .*val.txt:4 \(val/3.jpg\)"):
        refuse_overlap(shared, val)


def test_the_same_path_under_another_root_is_found(two_lists, tmp_path):
    shared = Manifest(tmp_path / "val", ["3.jpg"], [0])
    with pytest.raises(InputError, match="3.jpg is .*val.txt:4"):
        refuse_overlap(shared, two_lists[1])


def test_the_same_bytes_under_another_name_are_refused(two_lists, tmp_path):
    shutil.copy(tmp_path / "val" / "3.jpg", tmp_path / "train" / "2.jpg")
    with pytest.raises(InputError, match=r"train.txt:3 \(train/2.jpg\) is .*val.txt:4 \(val/3.jpg\)"):
        refuse_overlap(*two_lists)


def test_other_bytes_of_the_same_length_are_no_overlap(two_lists, tmp_path):
    content = bytearray((tmp_path / "val" / "3.jpg").read_bytes())
    content[-3] ^= 1
    (tmp_path / "train" / "2.jpg").write_bytes(bytes(content))
    refuse_overlap(*two_lists)


def test_missing_files_are_found_and_do_not_disturb_the_comparison(two_lists, tmp_path):
    (tmp_path / "train" / "2.jpg").unlink()
    (tmp_path / "val" / "0.jpg").unlink()
    assert missing_files(two_lists[0]).tolist() == [2]
    refuse_overlap(*two_lists)


def test_a_list_is_not_written_under_a_name_that_promises_compression(scored, tmp_path):
    with pytest.raises(InputError, match="without .gz"):
        scored.write(tmp_path / "list.txt.gz")


@pytest.mark.parametrize("spelling", ["val/3.jpg", "./val/3.jpg", "val//3.jpg", "val/./3.jpg"])
@pytest.mark.parametrize("root", ["", ".", "train/.."])
def test_the_same_path_is_found_in_any_spelling_of_pathlib(two_lists, tmp_path, spelling, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared = Manifest(root or tmp_path, ["train/0.jpg", spelling, "train/1.jpg"], [0, 0, 0])
    assert same_paths(shared, two_lists[1]) == {1: 3}


def test_absolute_paths_and_nested_roots_are_compared_as_files(two_lists, tmp_path):
    absolute = Manifest("/elsewhere", ["0.jpg", str(tmp_path / "val" / "5.jpg"), "val/3.jpg"], [0, 0, 0])
    assert same_paths(absolute, two_lists[1]) == {1: 5}
    nested = Manifest(tmp_path / "val", ["3.jpg", "0.jpg"], [0, 0])
    assert same_paths(two_lists[1], nested) == {3: 0, 0: 1} and same_paths(nested, two_lists[1]) == {0: 3, 1: 0}
    assert same_paths(Manifest("/", [str(tmp_path / "val/3.jpg")[1:]], [0]), two_lists[1]) == {0: 3}


def test_one_of_the_copies_in_a_training_list_is_enough_and_each_is_named(two_lists, tmp_path):
    twice = Manifest(tmp_path, ["val/3.jpg", "train/0.jpg", "val/3.jpg"], [0, 0, 0])
    assert same_paths(twice, two_lists[1]) == {0: 3, 2: 3}
