import pytest

from dedup.errors import InputError
from dedup.overrides import Overrides, read_overrides, write_overrides

NAMES = ["a b.png", 'images/<script>alert("x")&\'.png', "bücher/日本.jpg", "odd\u2028name\x85.png", " leading.png"]


def given(folder, text):
    (folder / "overrides.tsv").write_bytes(text.encode())
    return folder / "overrides.tsv"


def test_what_is_written_is_read_back_whatever_the_names(tmp_path):
    overrides = Overrides(frozenset(NAMES[:2]), frozenset(NAMES[2:]))
    write_overrides(tmp_path / "o.tsv", overrides)
    assert read_overrides(tmp_path / "o.tsv") == overrides


def test_lines_are_ordered_by_path(tmp_path):
    write_overrides(tmp_path / "o.tsv", Overrides(frozenset({"c", "a"}), frozenset({"b"})))
    assert (tmp_path / "o.tsv").read_bytes() == b"decision\tpath\nkeep\ta\nremove\tb\nkeep\tc\n"


def test_a_byte_order_mark_windows_line_ends_and_repetitions_do_no_harm(tmp_path):
    file = given(tmp_path, "\ufeffdecision\tpath\r\nkeep\ta.png\r\n\r\nkeep\ta.png\r\nremove\tb.png")
    assert read_overrides(file) == Overrides(frozenset({"a.png"}), frozenset({"b.png"}))


@pytest.mark.parametrize("text, said", [
    ("", r":1: expected the header 'decision<TAB>path', got ''"),
    ("path\tdecision\na.png\tkeep\n", r":1: expected the header"),
    ("decision\tpath\n", "holds no decision"),
    ("decision\tpath\nkeep\ta.png\nmaybe\tb.png\n", r":3: the decision must be 'keep' or 'remove', got 'maybe'"),
    ("decision\tpath\nkeep a.png\n", r":2: expected 'keep<TAB>path'"),
    ("decision\tpath\nkeep\t\n", r":2: expected 'keep<TAB>path'"),
    ("decision\tpath\nkeep\ta\tb\n", r":2: expected 'keep<TAB>path'"),
    ("decision\tpath\nkeep\ta.png\n\nremove\ta.png\n", r":4: 'a.png' is to be 'remove' here and 'keep' in an earlier line"),
])
def test_a_faulty_file_is_refused_with_its_line(tmp_path, text, said):
    with pytest.raises(InputError, match=f"overrides.tsv{said}" if said.startswith(":") else said):
        read_overrides(given(tmp_path, text))


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read as a file of overrides"):
        read_overrides(tmp_path / "gone.tsv")
    (tmp_path / "o.tsv").write_bytes(b"decision\tpath\nkeep\t\xff\n")
    with pytest.raises(InputError, match="cannot be read as a file of overrides"):
        read_overrides(tmp_path / "o.tsv")
