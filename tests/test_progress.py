from __future__ import annotations

import pytest

from ssld import progress
from ssld.progress import Progress, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("seconds, text", [(0, "0:00:00"), (12.4, "0:00:12"), (59.6, "0:01:00"), (3723, "1:02:03"),
                                           (100 * 3600, "100:00:00")])
def test_durations_are_hours_minutes_and_seconds(seconds, text):
    assert duration(seconds) == text


def test_the_time_left_follows_from_the_speed_of_this_run_alone(clock):
    shown = Progress("step", 100, done=40)
    clock[0] += 20
    assert shown.left_s(50) == pytest.approx(100)           # ten steps in 20 s, fifty to go
    assert shown.left_s(40) == pytest.approx(1200)          # nothing done yet: as if one step took the time so far


def test_lines_come_no_more_often_than_asked_for_but_the_last_one_always(clock, capsys):
    shown = Progress("step", 10, every_s=5)
    for done in range(1, 11):
        clock[0] += 2
        shown.update(done, f"loss {done}")
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["3/10", "6/10", "9/10", "10/10"]


def test_a_line_reads_as_a_sentence(clock, capsys):
    shown = Progress("step", 10, every_s=0)
    clock[0] += 4
    shown.update(4, "loss 0.5")
    assert capsys.readouterr().out == "step 4/10  loss 0.5  0:00:06 left\n"


def test_quiet_progress_prints_nothing(clock, capsys):
    Progress("step", 10, quiet=True).update(10)
    assert not capsys.readouterr().out
