from __future__ import annotations

import math

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.optim.schedules import Cosine
from ssld.softlabels.passes import CropSampler, plan_passes


def counts(passes) -> list[int]:
    return [pass_.crops for pass_ in passes]


@pytest.mark.parametrize("epochs, crops, expected", [
    (300, 4, [4] * 74 + [1] * 4), (300, 8, [8] * 37 + [1] * 4), (9, 4, [4, 4, 1]), (10, 4, [4, 4, 1, 1]),
    (8, 4, [4, 1, 1, 1, 1]), (3, 4, [1, 1, 1]), (5, 1, [1] * 5)])
def test_the_crop_epochs_add_up_and_the_last_ones_show_one_crop(epochs, crops, expected):
    passes = plan_passes(epochs, crops)
    assert counts(passes) == expected and sum(expected) == epochs
    assert [p.epoch for p in passes] == np.cumsum([0, *expected[:-1]]).tolist() == [p.rate_epoch for p in passes]


def test_without_a_tail_passes_go_on_to_the_end():
    assert counts(plan_passes(200, 8, tail=False)) == [8] * 25
    assert counts(plan_passes(10, 4, tail=False)) == [4, 4, 2]


def test_the_recipe_with_adamw_begins_with_one_crop_and_reads_the_rate_of_its_tail_one_epoch_ahead():
    passes = plan_passes(300, 4, one_crop_epochs=5, tail_ahead=1)
    assert counts(passes) == [1] * 5 + [4] * 73 + [1] * 3
    assert [p.rate_epoch - p.epoch for p in passes] == [0] * 78 + [1] * 3


def test_steps_and_batches_are_those_of_the_released_recipe():
    sampler = CropSampler(1_281_167, 128, 4, plan_passes(300, 4), drop_last=False, world=8)
    steps = [pass_.steps for pass_ in sampler.timetable.passes]
    assert steps == [5005] * 74 + [1252] * 4 and sum(steps) == 375_378 and sampler.global_batch == 1024
    assert [len(sampler.visits(step)) for step in (0, 74 * 5005 - 1, 74 * 5005)] == [32, 32, 128]


def test_the_rate_is_held_during_a_pass_and_is_that_of_its_first_epoch():
    timetable = CropSampler(64, 8, 4, plan_passes(10, 4)).timetable
    rate = Cosine(0.1, by_epoch=True, timetable=timetable)
    firsts = [0, 32, 64, 72]
    assert [rate(step) for step in firsts] == [0.1 * (1 + math.cos(math.pi * e / 10)) / 2 for e in (0, 4, 8, 9)]
    assert rate(31) == rate(0) and rate(63) == rate(32)


def test_the_schedule_with_adamw_is_not_shifted_by_its_warm_up():
    timetable = CropSampler(64, 8, 4, plan_passes(20, 4, 5, tail_ahead=1)).timetable
    rate = Cosine(0.002, 5, 1e-5, eta_min=1e-5, by_epoch=True, warmup_prefix=False, timetable=timetable)
    starts = np.cumsum([0, *(p.steps for p in timetable.passes)])[:-1]
    epochs = [0, 1, 2, 3, 4, 5, 9, 13, 18, 19, 20]           # the tail, from 17 on, one ahead
    expected = [1e-5 + t * (0.002 - 1e-5) / 5 if t < 5 else 1e-5 + 0.5 * (0.002 - 1e-5) * (1 + math.cos(math.pi * t / 20))
                for t in epochs]
    assert [rate(int(step)) for step in starts] == pytest.approx(expected, rel=1e-12)


def test_every_image_comes_once_per_pass_and_processes_share_a_step():
    whole = CropSampler(24, 16, 4, plan_passes(9, 4), seed=3)
    halves = [CropSampler(24, 8, 4, plan_passes(9, 4), seed=3, rank=rank, world=2) for rank in (0, 1)]
    total = whole.timetable.total_steps
    assert total == halves[0].timetable.total_steps == 6 + 6 + 1
    for step in range(total):
        assert [v for half in halves for v in half.visits(step)] == whole.visits(step)
    first = [visit for step in range(6) for visit in whole.visits(step)]
    assert sorted(visit.row for visit in first) == list(range(24)) and {v[1:3] for v in first} == {(0, 4)}
    assert [v.row for v in first] != [v.row for step in range(6, 12) for v in whole.visits(step)]


def test_accumulated_batches_do_not_straddle_passes():
    sampler = CropSampler(28, 8, 4, plan_passes(8, 4), accumulate=3)         # passes of 14 and 3 batches
    assert [pass_.steps for pass_ in sampler.timetable.passes] == [4, 1, 1, 1, 1]
    assert [sampler.visits(batch)[0].pass_ for batch in range(24)] == [0] * 12 + [4] * 3 + [5] * 3 + [6] * 3 + [7] * 3


def test_where_epochs_are_counted_in_steps_passes_follow_each_other_for_ever():
    sampler = CropSampler(12, 8, 4, seed=1)
    assert sampler.timetable is None and sampler.steps_per_pass == 6
    visits = [visit for step in range(18) for visit in sampler.visits(step)]
    assert [visit.pass_ for visit in visits[::12]] == [0, 4, 8] and {visit.crops for visit in visits} == {4}


def test_a_batch_that_m_does_not_divide_holds_fewer_crops():
    assert CropSampler(100, 10, 4).global_batch == 12            # ceil(10 / 4) = 3 images
    assert CropSampler(100, 5, 4, world=2).global_batch == 8     # floor(ceil(10 / 4) / 2) = 1 image each


def test_less_than_one_image_or_step_is_refused():
    with pytest.raises(InputError, match="batch_size 1 is less than one image of 4 crops per process"):
        CropSampler(100, 1, 4, world=2)
    with pytest.raises(InputError, match="a pass of 1 crops has 2 batches, fewer than Global.update_freq 3"):
        CropSampler(20, 8, 4, plan_passes(8, 4), accumulate=3)
