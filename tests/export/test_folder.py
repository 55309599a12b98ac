"""Files of an export appear together or not at all."""
from __future__ import annotations

import json

import pytest

from ssld.errors import InputError
from ssld.export.folder import filled


def card(folder, names):
    (folder / "card.json").write_text(json.dumps({"sha256": {name: "" for name in names}}))


def test_files_appear_when_the_block_is_done(tmp_path):
    with filled(tmp_path / "a" / "b") as new:
        (new / "x").write_text("1")
        assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == [new.name]
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["x"]


def test_nothing_is_left_of_a_block_that_fails(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "x").write_text("old")
    for name in ("kept", "new"):
        with pytest.raises(KeyError):
            with filled(tmp_path / name) as new:
                (new / "x").write_text("new")
                raise KeyError("in the middle")
    assert [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")] == ["kept", "kept/x"]
    assert (tmp_path / "kept" / "x").read_text() == "old"


def test_files_that_only_the_earlier_card_names_are_removed_and_others_stay(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("out/old", "out/both", "out/mine", "outside"):
        (tmp_path / name).write_text("before")
    card(tmp_path / "out", ["old", "both", "../outside", "gone"])
    with filled(tmp_path / "out") as new:
        (new / "both").write_text("after")
        card(new, ["both"])
    assert {file.name for file in (tmp_path / "out").iterdir()} == {"both", "mine", "card.json"}
    assert (tmp_path / "out" / "both").read_text() == "after" and (tmp_path / "outside").exists()


def test_without_a_new_card_nothing_is_removed(tmp_path):
    (tmp_path / "old").write_text("before")
    card(tmp_path, ["old"])
    with filled(tmp_path) as new:
        (new / "x").write_text("1")
    assert (tmp_path / "old").exists()


def test_a_folder_in_the_place_of_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "inside").write_text("")
    with pytest.raises(InputError, match="cannot be written: .*directory"):
        with filled(tmp_path) as new:
            (new / "x").write_text("1")
