from __future__ import annotations

import math

import pytest

from ssld.errors import InputError
from ssld.optim.schedules import SCHEDULES, ConstLR, Cosine, Linear, Piecewise
from ssld.timetable import Timetable


def test_the_cosine_follows_its_formula_after_a_linear_warm_up():
    rate = Cosine(0.8, warmup_epoch=2, timetable=Timetable.uniform(10, 5), eta_min=0.1)
    for step in range(50):
        expected = (0.8 * step / 10 if step < 10 else 0.1 + 0.7 * (1 + math.cos(math.pi * (step - 10) / 40)) / 2)
        assert rate(step) == pytest.approx(expected, rel=1e-12)


def test_the_first_step_has_the_start_rate_and_the_warm_up_ends_at_the_base_rate():
    rate = Cosine(0.4, warmup_epoch=1, warmup_start_lr=0.1, timetable=Timetable.uniform(3, 4))
    assert rate(0) == 0.1 and rate(4) == 0.4
    assert [rate(step) for step in range(4)] == pytest.approx([0.1, 0.175, 0.25, 0.325])


def test_without_warm_up_the_first_step_has_the_base_rate_and_the_last_is_one_step_above_the_end():
    rate = Cosine(0.4, timetable=Timetable.uniform(2, 3))
    assert rate(0) == 0.4
    assert rate(5) == pytest.approx(0.2 * (1 + math.cos(math.pi * 5 / 6))) and rate(6) == pytest.approx(0)


def test_by_epoch_holds_the_rate_during_each_epoch():
    stepwise = Cosine(0.4, warmup_epoch=2, timetable=Timetable.uniform(6, 4))
    held = Cosine(0.4, warmup_epoch=2, timetable=Timetable.uniform(6, 4), by_epoch=True)
    assert [held(step) for step in range(24)] == [stepwise(step - step % 4) for step in range(24)]


@pytest.mark.parametrize("epochs", [300, 600])
def test_a_cosine_that_begins_with_the_run_goes_on_below_its_beginning_after_the_warm_up(epochs):
    """lr = 1e-6 + e (5e-3 - 1e-6) / 5 for e < 5, then 1e-6 + (5e-3 - 1e-6) (1 + cos(pi e / E)) / 2."""
    rate = Cosine(5e-3, 5, 1e-6, eta_min=1e-6, by_epoch=True, warmup_prefix=False, timetable=Timetable.uniform(epochs, 3))
    rise = [1e-6 + e * (5e-3 - 1e-6) / 5 for e in range(5)]
    fall = [1e-6 + (5e-3 - 1e-6) / 2 * (1 + math.cos(math.pi * e / epochs)) for e in range(5, epochs)]
    assert [rate(step) for step in range(3 * epochs)] == pytest.approx([r for r in rise + fall for _ in range(3)], rel=1e-12)
    if epochs == 300:
        assert rate(15) == pytest.approx(4.99657e-3, abs=1e-8) and rate(899) == pytest.approx(1.137e-6, abs=1e-9)


def test_a_fraction_of_an_epoch_may_warm_up():
    rate = Cosine(1.0, warmup_epoch=0.5, timetable=Timetable.uniform(2, 4))
    assert [rate(0), rate(1), rate(2)] == [0, 0.5, 1.0]


def test_a_run_that_only_warms_up_is_possible():
    rate = Cosine(1.0, warmup_epoch=2, timetable=Timetable.uniform(2, 2))
    assert [rate(step) for step in range(4)] == [0, 0.25, 0.5, 0.75]


def test_the_line_ends_at_end_lr():
    rate = Linear(1.0, end_lr=0.2, warmup_epoch=1, timetable=Timetable.uniform(5, 2))
    assert [rate(step) for step in (0, 2, 6, 10)] == pytest.approx([0, 1.0, 0.6, 0.2])


def test_the_constant_stays_after_the_warm_up():
    rate = ConstLR(0.3, warmup_epoch=1, timetable=Timetable.uniform(3, 2))
    assert [rate(step) for step in range(6)] == [0, 0.15, 0.3, 0.3, 0.3, 0.3]


def test_piecewise_rates_change_at_their_epochs_counted_from_the_start_of_the_run():
    rate = Piecewise([1.0, 0.1, 0.01], [2, 4], warmup_epoch=1, timetable=Timetable.uniform(5, 2))
    assert [rate(step) for step in range(10)] == [0, 0.5, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01]


@pytest.mark.parametrize("epochs, warmup, factor, base, least", [(300, 5, 0.25, 5e-3, 0.0), (300, 20, 1e-3, 1e-3, 1e-5),
                                                                 (300, 20, 1e-6, 7e-4, 0.0)])
def test_a_warm_up_from_a_share_of_the_rate_is_linear_in_steps_and_the_cosine_ends_at_the_least_rate(epochs, warmup, factor,
                                                                                                     base, least):
    """lr (f + (1 - f) t / T_w) for t < T_w, then least + (lr - least) (1 + cos(pi (t - T_w) / (T - T_w))) / 2, t in steps."""
    steps = 7
    rate = Cosine(base, warmup, factor * base, eta_min=least, timetable=Timetable.uniform(epochs, steps))
    first, last = warmup * steps, epochs * steps
    for t in range(last):
        expected = (base * (factor + (1 - factor) * t / first) if t < first else
                    least + (base - least) * (1 + math.cos(math.pi * (t - first) / (last - first))) / 2)
        assert rate(t) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert rate(first) == base and rate(last - 1) > least


def test_a_run_with_another_batch_than_the_rate_is_written_for_says_so():
    rate = Cosine(0.1, total_batch=256, timetable=Timetable.uniform(2, 3))
    assert rate.mismatch(256) is None and Cosine(0.1).mismatch(8) is None
    said = rate.mismatch(32)
    assert "total batch of 256, this run has 32" in said and "times 0.125, and total_batch: 32" in said
    for schedule in (Linear(0.1, total_batch=8), ConstLR(0.1, total_batch=8), Piecewise([0.1, 1.0], [1], total_batch=8)):
        assert "times 2, and" in schedule.mismatch(16)


@pytest.mark.parametrize("name, options, message", [
    ("Cosine", {"learning_rate": 0}, "learning_rate must be a number above 0"),
    ("Cosine", {"learning_rate": "1e-3"}, "learning_rate must be a number, not"),
    ("Cosine", {"learning_rate": 1, "warmup_epoch": 6}, "warmup_epoch 6 is longer than the run of 5 epochs"),
    ("Cosine", {"learning_rate": 1, "warmup_epoch": -1}, "warmup_epoch must be"),
    ("Cosine", {"learning_rate": 1, "eta_min": -0.1}, "eta_min must be"),
    ("Linear", {"learning_rate": 1, "end_lr": "x"}, "end_lr must be"),
    ("Piecewise", {"learning_rate": [1, 0.1], "decay_epochs": [1, 2]}, "2 decay_epochs need 3 rates, found 2"),
    ("Piecewise", {"learning_rate": 0.1, "decay_epochs": [1]}, "learning_rate must be a list of numbers"),
    ("Cosine", {"learning_rate": 1, "epochs": 9}, "has no option 'epochs'"),
    ("Cosine", {"learning_rate": 1, "total_batch": 0}, "total_batch must be a whole number of at least 1"),
    ("Cosin", {"learning_rate": 1}, "there is no learning-rate schedule 'Cosin'. Did you mean 'Cosine'")])
def test_wrong_options_are_refused_with_the_place(name, options, message):
    with pytest.raises(InputError, match=f"^here.*{message}"):
        SCHEDULES.build(name, options, "here", timetable=Timetable.uniform(5, 2))
