import gzip

import pytest

from dedup import lists
from dedup.errors import InputError
from dedup.lists import read_list


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


def test_the_byte_order_mark_of_some_editors_is_no_part_of_the_first_path(tmp_path):
    assert list(listed(tmp_path, "\ufeffa.jpg 1\nb.jpg 2\n").paths) == ["a.jpg", "b.jpg"]


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


def test_text_that_is_not_utf8_is_found_wherever_it_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(lists, "_BYTES_PER_BLOCK", 2)
    assert list(listed(tmp_path, "日本.jpg 1\n").paths) == ["日本.jpg"]
    (tmp_path / "list.txt").write_bytes("日本".encode()[:-1])
    with pytest.raises(InputError, match="Expected a UTF-8 text file"):
        read_list(tmp_path / "list.txt")
