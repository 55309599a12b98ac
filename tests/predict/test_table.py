from __future__ import annotations

import json

import pytest

from ssld.errors import InputError
from ssld.predict.table import Guess, Prediction, Table

ROWS = [Prediction('a "b",c.jpg', (Guess(1, "x, y", 0.75), Guess(0, "", 0.25))), Prediction("d.jpg", (Guess(0, "ü", 1.0),))]


@pytest.mark.parametrize("ending, content", [
    ("csv", 'image,rank,class,name,probability\n"a ""b"",c.jpg",1,1,"x, y",0.75\n"a ""b"",c.jpg",2,0,,0.25\nd.jpg,1,0,ü,1.0\n'),
    ("json", None)])
def test_a_file_appears_when_it_is_whole(tmp_path, ending, content):
    table = Table(tmp_path / "new" / f"out.{ending}")
    table.add(ROWS[:1])
    table.add(ROWS[1:])
    assert not table.file.exists() and table.partial.exists()
    assert table.finish() == table.file and not table.partial.exists()
    if content:
        assert table.file.read_text() == content
    else:
        assert json.loads(table.file.read_text()) == [
            {"image": row.image, "top": [dict(zip(("class", "name", "probability"), guess)) for guess in row.guesses]}
            for row in ROWS]


def test_no_rows_are_a_file_too(tmp_path):
    table = Table(tmp_path / "out.json")
    assert json.loads(table.finish().read_text()) == []


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="the ending of --out cannot be '.xls'"):
        Table(tmp_path / "out.xls")
    (tmp_path / "out.csv.partial").mkdir()
    with pytest.raises(InputError, match="out.csv.partial could not be written: Is a directory"):
        Table(tmp_path / "out.csv")
