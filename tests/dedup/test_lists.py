import gzip

import numpy as np
import pytest

from dedup.errors import InputError
from dedup.lists import Paths, read_list


def listed(tmp_path, text, delimiter=" "):
    (tmp_path / "list.txt").write_bytes(text.encode())
    return read_list(tmp_path / "list.txt", delimiter)


def test_labels_are_integers_after_the_last_delimiter_and_minus_one_otherwise(tmp_path):
    read = listed(tmp_path, "a/b.jpg 7\nc d.jpg\ne.jpg -1\nf.jpg -42\ng 1.jpg 12x\nh.jpg   003\n")
    assert list(read.paths) == ["a/b.jpg", "c d.jpg", "e.jpg", "f.jpg", "g 1.jpg 12x", "h.jpg"]
    assert read.labels.tolist() == [7, -1, -1, -1, -1, 3]


def test_lines_keep_their_number_and_their_text(tmp_path):
    read = listed(tmp_path, "\na.jpg 1\r\n\n  \nb.jpg\nc.jpg  5  \n")
    assert read.lines.tolist() == [2, 5, 6]
    assert list(read.text) == ["a.jpg 1", "b.jpg", "c.jpg  5"]


def test_a_last_line_without_an_end_counts(tmp_path):
    assert list(listed(tmp_path, "a.jpg 1\nb.jpg 2").paths) == ["a.jpg", "b.jpg"]


def test_a_tab_as_delimiter_allows_paths_that_end_in_a_number(tmp_path):
    read = listed(tmp_path, "photo 12\t3\nphoto 13\n", "\t")
    assert list(read.paths) == ["photo 12", "photo 13"]
    assert read.labels.tolist() == [3, -1]


def test_a_compressed_list_reads_like_a_plain_one(tmp_path):
    (tmp_path / "list.txt.gz").write_bytes(gzip.compress("ä.jpg 1\n".encode()))
    read = read_list(tmp_path / "list.txt.gz")
    assert (list(read.paths), read.labels.tolist()) == (["ä.jpg"], [1])


@pytest.mark.parametrize("text, message", [
    ("", "lists no image"), ("\n \n", "lists no image"), ("a.jpg 1\nb.jpg\t2\n", r"list\.txt:2: .* holds a tab"),
    ("a.jpg 1\n 5\n", "list.txt:2: a label without a path")])
def test_a_list_that_cannot_be_meant_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        listed(tmp_path, text)


def test_a_missing_list_and_one_that_is_not_text_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere.txt cannot be read"):
        read_list(tmp_path / "nowhere.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="Expected a UTF-8 text file"):
        read_list(tmp_path / "list.txt")


def test_a_delimiter_is_one_character(tmp_path):
    with pytest.raises(InputError, match="must be a single character"):
        listed(tmp_path, "a\n", "::")


def test_paths_behave_like_a_list_of_strings():
    column = Paths.of(["a", "", "größe", "d"])
    assert (len(column), column[2], list(column[1:3])) == (4, "größe", ["", "größe"])
    assert list(column.take(np.array([True, False, False, True]))) == ["a", "d"]
    assert list(column.take(np.array([3, 0, 0]))) == ["d", "a", "a"]
    assert column == ["a", "", "größe", "d"]
    assert column != ["a"]
    assert list(Paths.concatenate([column[:1], Paths.of([]), column[3:]])) == ["a", "d"]
    assert list(Paths.of([])) == list(Paths.concatenate([])) == []
