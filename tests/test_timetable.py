from __future__ import annotations

import pytest

from ssld.timetable import Pass, Timetable


def test_epochs_that_are_alike_are_counted_in_steps():
    table = Timetable.uniform(3, 4)
    assert table.total_steps == 12 and table.epochs == 3 and str(table) == "3 epochs of 4"
    assert [table.epoch_at(step) for step in range(13)] == pytest.approx([step / 4 for step in range(13)])
    assert [table.held_epoch(step) for step in range(12)] == [step // 4 for step in range(12)]


def test_a_pass_that_counts_for_several_epochs_spreads_them_over_its_steps():
    table = Timetable([Pass(0, 4, 8), Pass(4, 1, 3), Pass(5, 1, 3, rate_epoch=6)])
    assert table.total_steps == 14 and table.epochs == 6
    assert [table.epoch_at(step) for step in (0, 4, 8, 11, 14)] == [0, 2, 4, 5, 6]
    assert [table.held_epoch(step) for step in (0, 7, 8, 10, 11, 13)] == [0, 0, 4, 4, 6, 6]
    assert str(table) == "6 epochs: 1 x 4 in 8, 2 x 1 in 3"


def test_only_the_last_step_of_a_pass_ends_it():
    table = Timetable([Pass(0, 2, 3), Pass(2, 1, 2)])
    assert [table.ended(step) and table.ended(step).end for step in range(1, 6)] == [None, None, 2, None, 3]


def test_epochs_are_done_when_the_pass_that_reaches_them_ends():
    table = Timetable([Pass(0, 4, 8), Pass(4, 1, 3), Pass(5, 1, 3)])
    assert [table.steps_by(epoch) for epoch in (1, 4, 5, 6)] == [8, 8, 11, 14]
    assert Timetable.uniform(3, 4).steps_by(2) == 8
