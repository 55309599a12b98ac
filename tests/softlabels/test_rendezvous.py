"""A process that gives up tells the others through a file."""
import contextlib

import pytest

from ssld.errors import InputError
from ssld.softlabels import rendezvous as module
from ssld.softlabels.rendezvous import rendezvous


@pytest.fixture
def two(monkeypatch):
    """As in the second of two processes, whose exchanges are left out."""
    monkeypatch.setattr(module, "world_size", lambda: 2)
    monkeypatch.setattr(module, "rank", lambda: 1)
    monkeypatch.setattr(module, "is_main", lambda: False)
    monkeypatch.setattr(module, "together", contextlib.nullcontext)
    monkeypatch.setattr(module, "_LOOK_EVERY_S", 0.0)


def test_the_error_of_one_process_is_seen_by_the_next_look_of_another(two, tmp_path):
    with rendezvous(tmp_path) as other:
        other.look()
        with pytest.raises(InputError, match="the disk is full"), rendezvous(tmp_path):
            raise InputError("the disk is full")
        with pytest.raises(InputError, match="the disk is full"):
            other.look()
        with pytest.raises(InputError, match="the disk is full"):
            other.wait_until(lambda: False)


def test_the_main_process_takes_away_the_notes_of_an_earlier_run(two, tmp_path, monkeypatch):
    with pytest.raises(InputError), rendezvous(tmp_path):
        raise InputError("of an earlier run")
    monkeypatch.setattr(module, "is_main", lambda: True)
    with rendezvous(tmp_path) as board:
        board.look()


def test_waiting_ends_when_the_work_is_whole(two, tmp_path):
    answers = iter([False, False, True])
    with rendezvous(tmp_path) as board:
        board.wait_until(lambda: next(answers))
    assert next(answers, "none left") == "none left"


def test_a_process_alone_writes_no_notes(tmp_path):
    with pytest.raises(InputError), rendezvous(tmp_path):
        raise InputError("anything")
    assert not list(tmp_path.iterdir())
