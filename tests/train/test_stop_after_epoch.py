"""A run that stops after some of its epochs and goes on later is the run that never stopped."""
from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

LONG = {"epochs": 4, "save_interval": 4, "eval_interval": 4}


def test_a_run_that_was_stopped_twice_ends_with_the_same_weights(run, left_by):
    whole = run("whole", Global=LONG)
    for epoch in (1, 3):
        stopped = run("stopped", Global={**LONG, "stop_after_epoch": epoch})
        assert latest_checkpoint(stopped).step == 3 * epoch             # 24 images in batches of 8
    run("stopped", Global=LONG)
    (training, student, _, events), (other, other_student, _, others) = left_by(stopped), left_by(whole)
    assert training.keys() == other.keys() and all((training[name] == other[name]).all() for name in training)
    assert student.keys() == other_student.keys() and all((student[name] == other_student[name]).all() for name in student)
    rates = [event["lr"] for event in events if event["event"] == "train"]
    assert rates == [event["lr"] for event in others if event["event"] == "train"] and len(rates) == 12


def test_where_it_stops_a_run_is_evaluated_and_saved_whatever_the_intervals(run):
    folder = run("stopped", Global={**LONG, "stop_after_epoch": 2})
    assert [(event["step"], event["images"]) for event in read_events(folder) if event["event"] == "eval"] == [(6, 10)]
    assert [event["step"] for event in read_events(folder) if event["event"] == "checkpoint"] == [6]


def test_a_run_that_is_further_already_stays_as_it_is(run, capsys):
    folder = run("further", Global={**LONG, "stop_after_epoch": 2})
    run("further", Global={**LONG, "stop_after_epoch": 1})
    assert latest_checkpoint(folder).step == 6 and "already finished" in capsys.readouterr().out


def test_what_happens_now_is_announced(run, capsys):
    run("dry", dry_run=True, Global={**LONG, "stop_after_epoch": 3})
    assert "9 steps (4 epochs of 3, of which 3 for now)" in capsys.readouterr().out


@pytest.mark.parametrize("value, message", [(5, "stop_after_epoch 5 lies behind the run's 4 epochs"), (0, "at least 1")])
def test_a_run_cannot_stop_where_it_never_comes(run, value, message):
    with pytest.raises(InputError, match=message):
        run("none", dry_run=True, Global={**LONG, "stop_after_epoch": value})
