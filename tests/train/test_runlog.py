from __future__ import annotations

import json

import pytest

from ssld.errors import InputError
from ssld.train.runlog import FILE, RunLog, read_events


@pytest.fixture
def logged(tmp_path):
    """A log of five steps with an evaluation after the third."""
    log = RunLog(tmp_path)
    log.write("start", first_step=0)
    for step in range(1, 6):
        log.write("train", step=step, loss=1 / step, parts={"CELoss": 1 / step})
        if step == 3:
            log.write("eval", step=step, top1=0.5)
    log.close()
    return tmp_path


def kinds(folder) -> list:
    return [(event["event"], event.get("step")) for event in read_events(folder)]


def test_each_event_is_one_line_of_json_in_the_order_of_writing(logged):
    lines = (logged / FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_events(logged)
    assert kinds(logged)[0] == ("start", None) and kinds(logged)[3:5] == [("train", 3), ("eval", 3)]
    assert read_events(logged)[2]["parts"] == {"CELoss": 0.5}


def test_a_folder_without_log_has_no_events(tmp_path):
    assert read_events(tmp_path) == []


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_last_line_that_was_cut_off_is_passed_over(logged, cut):
    content = (logged / FILE).read_bytes()
    (logged / FILE).write_bytes(content[:-cut])
    assert len(read_events(logged)) == 6


def test_a_broken_line_in_the_middle_is_refused_with_its_number(logged):
    lines = (logged / FILE).read_text().splitlines(keepends=True)
    (logged / FILE).write_text("".join([*lines[:2], "{broken\n", *lines[3:]]))
    with pytest.raises(InputError, match=rf"{FILE}:3: not a JSON event"):
        read_events(logged)


def test_a_resumed_run_drops_the_events_that_will_happen_again(logged):
    content = (logged / FILE).read_bytes()
    (logged / FILE).write_bytes(content + b'{"event": "tr')               # killed while it wrote
    log = RunLog(logged, resume_step=3)
    log.write("start", first_step=3)
    log.write("train", step=4)
    assert kinds(logged) == [("start", None), ("train", 1), ("train", 2), ("train", 3), ("eval", 3),
                             ("start", None), ("train", 4)]


def test_a_run_from_the_start_begins_a_new_log(logged):
    RunLog(logged, resume_step=0)
    assert read_events(logged) == []


def test_numbers_go_to_visualdl_when_asked(tmp_path):
    pytest.importorskip("visualdl")
    log = RunLog(tmp_path, use_visualdl=True)
    log.write("train", step=1, loss=0.5, parts={"CELoss": 0.5})
    log.close()
    assert list((tmp_path / "vdl").glob("*.log")) and len(read_events(tmp_path)) == 1


def test_a_full_disk_is_said_and_the_log_stays_readable(logged, monkeypatch):
    log, before = RunLog(logged, 5), kinds(logged)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", full)
        with pytest.raises(InputError, match=r"log\.jsonl could not be written: No space left on device\. Checkpoints are "
                                             "unchanged; make room"):
            log.write("train", step=6)
    assert kinds(logged) == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/log\.jsonl could not be written: (Not a directory|File exists)"):
        RunLog(tmp_path / "file")
