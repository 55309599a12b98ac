import hashlib

import pytest

from dedup.errors import InputError
from dedup.source import Source, open_source


def test_a_list_keeps_its_lines_and_counts_repeated_paths(tmp_path):
    (tmp_path / "list.txt").write_text("b.jpg 1\na.jpg -1\nb.jpg 2\nb.jpg 1\n")
    source = open_source(tmp_path / "list.txt")
    assert (list(source.paths), list(source.lines), source.repeated) == (["b.jpg", "a.jpg"], ["b.jpg 1", "a.jpg -1"], 2)
    assert source.root == str(tmp_path)
    assert source.sha256 == hashlib.sha256((tmp_path / "list.txt").read_bytes()).hexdigest()
    assert open_source(tmp_path / "list.txt", root="/elsewhere").root == "/elsewhere"


def test_a_folder_is_listed_in_sorted_order_without_other_files(tmp_path):
    for name in ("b.jpg", "a/z.PNG", "a/c.jpeg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    source = open_source(tmp_path)
    assert list(source.paths) == list(source.lines) == ["a/c.jpeg", "a/z.PNG", "b.jpg"]
    assert source.root == str(tmp_path)
    assert list(open_source(tmp_path / "a", root=tmp_path).paths) == ["a/c.jpeg", "a/z.PNG"]


def test_paths_in_memory_and_an_open_source_are_taken_as_they_are():
    source = Source.of(["x.jpg", "y.jpg", "x.jpg"], "/root")
    assert (list(source.paths), source.repeated) == (["x.jpg", "y.jpg"], 1)
    assert open_source(source) is source


def test_an_empty_folder_and_a_missing_list_are_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image file"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="cannot be read as an image list"):
        open_source(tmp_path / "none.txt")


def test_names_that_do_not_fit_into_a_table_are_refused(tmp_path):
    (tmp_path / "a\nb.jpg").touch()
    with pytest.raises(InputError, match="a tab, a line end"):
        open_source(tmp_path)
    with pytest.raises(InputError, match="holds a tab"):
        Source.of(["a\tb.jpg"], tmp_path)
