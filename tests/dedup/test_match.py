import numpy as np
import pytest

from dedup.errors import InputError
from dedup.match import COLUMNS, Match, ShardResult, match_to_row, read_matches, write_table

MATCHES = [
    Match("a b.jpg", "v/1.png", "sift", 12, 0.8125, None, 0.25, np.array([[1.0, 0.5, -3], [0, 2, 1e-3]]), True),
    Match("c.jpg", "v/2.png", "hash", 0, 0.0, 7, None, None, False)]


def test_a_table_of_matches_reads_back(tmp_path):
    write_table(tmp_path / "removed.tsv", COLUMNS, map(match_to_row, MATCHES))
    for read, match in zip(read_matches(tmp_path / "removed.tsv"), MATCHES):
        assert read[:7] == match[:7] and read.mirrored == match.mirrored
        assert np.array_equal(read.affine, match.affine) if match.affine is not None else read.affine is None


def test_columns_have_their_names_and_empty_cells_where_nothing_was_compared(tmp_path):
    write_table(tmp_path / "removed.tsv", COLUMNS, map(match_to_row, MATCHES))
    lines = (tmp_path / "removed.tsv").read_text().splitlines()
    assert lines[0] == "pool_path\teval_path\treason\tinliers\tagreement\thash_distance\tcosine\taffine\tmirrored"
    assert lines[1] == "a b.jpg\tv/1.png\tsift\t12\t0.8125\t\t0.250000\t1,0.5,-3,0,2,0.001\t1"
    assert lines[2] == "c.jpg\tv/2.png\thash\t0\t0.0000\t7\t\t\t0"


@pytest.mark.parametrize("line, message", [
    ("a\tb\tsift", "removed.tsv:2: not a match"), ("a\tb\tguess\t1\t0.5\t\t\t\t0", "'guess' is none of sha256"),
    ("a\tb\tsift\t1\t0.5\t\t\t1,2\t0", "removed.tsv:2"), ("a\tb\tsift\tmany\t0.5\t\t\t\t0", "removed.tsv:2")])
def test_a_damaged_line_is_named(tmp_path, line, message):
    (tmp_path / "removed.tsv").write_text("\t".join(COLUMNS) + "\n" + line + "\n")
    with pytest.raises(InputError, match=message):
        read_matches(tmp_path / "removed.tsv")


def test_another_table_or_none_is_refused(tmp_path):
    (tmp_path / "a.tsv").write_text("path\tlabel\n")
    with pytest.raises(InputError, match="a.tsv:1: expected the columns"):
        read_matches(tmp_path / "a.tsv")
    with pytest.raises(InputError, match="b.tsv cannot be read"):
        read_matches(tmp_path / "b.tsv")


def test_the_best_match_of_a_picture_is_its_first():
    first, second = MATCHES
    result = ShardResult([first, first._replace(reference="v/9.png"), second], [], [], {}, [])
    assert [(m.query, m.reference) for m in result.best()] == [("a b.jpg", "v/1.png"), ("c.jpg", "v/2.png")]
