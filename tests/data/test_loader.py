from __future__ import annotations

import numpy as np
import pytest

from ssld.data.loader import Loader, StepSampler, in_order
from ssld.errors import InputError


class Rows:
    """A dataset whose image is its visit."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, visit):
        return {"index": np.int64(visit.row), "pass": np.int64(visit.pass_)}


def rows_of(sampler: StepSampler, steps) -> list:
    return [[visit.row for visit in sampler.visits(step)] for step in steps]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_every_image_is_seen_once_a_pass_whatever_the_number_of_processes(world):
    samplers = [StepSampler(24, 4 // world if world < 3 else 2, rank=rank, world=world, seed=5) for rank in range(world)]
    steps = samplers[0].steps_per_pass
    for pass_ in range(3):
        seen = [row for s in samplers for batch in rows_of(s, range(pass_ * steps, (pass_ + 1) * steps)) for row in batch]
        assert sorted(seen) == list(range(24))
        assert all(v.pass_ == pass_ for s in samplers for v in s.visits(pass_ * steps))


def test_two_processes_with_half_the_batch_see_the_images_of_one_with_the_whole():
    one = StepSampler(50, 8, seed=3)
    two = [StepSampler(50, 4, seed=3, rank=rank, world=2) for rank in (0, 1)]
    assert one.steps_per_pass == two[0].steps_per_pass == 6
    for step in range(20):
        assert one.visits(step) == two[0].visits(step) + two[1].visits(step)


def test_each_pass_has_another_order_and_the_seed_decides_which():
    def order(seed, pass_):
        return rows_of(StepSampler(32, 32, seed=seed), [pass_])[0]
    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1) and order(1, 0) != order(2, 0)
    assert rows_of(StepSampler(32, 32, shuffle=False), [0, 1]) == [list(range(32))] * 2


def test_any_step_can_be_asked_for_without_those_before():
    sampler = StepSampler(20, 6, seed=1)
    everything = rows_of(sampler, range(12))
    assert [rows_of(StepSampler(20, 6, seed=1), [step])[0] for step in (11, 0, 7, 3)] == [everything[s] for s in (11, 0, 7, 3)]


def test_an_incomplete_batch_is_dropped_or_filled_from_the_beginning_of_the_order():
    dropped, filled = StepSampler(10, 4, shuffle=False), StepSampler(10, 4, shuffle=False, drop_last=False)
    assert rows_of(dropped, range(2)) == [[0, 1, 2, 3], [4, 5, 6, 7]] and dropped.steps_per_pass == 2
    assert rows_of(filled, range(3)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]] and filled.steps_per_pass == 3


def test_a_batch_larger_than_the_list_is_filled_too():
    assert rows_of(StepSampler(3, 8, shuffle=False, drop_last=False), [0]) == [[0, 1, 2, 0, 1, 2, 0, 1]]


def test_a_pass_of_zero_steps_is_refused():
    with pytest.raises(InputError, match=r"7 images, fewer than one batch of 8 \(batch_size 4 x 2 processes\).*zero steps"):
        StepSampler(7, 4, world=2)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8"])
def test_a_batch_size_that_is_none_is_refused(batch_size):
    with pytest.raises(InputError, match="batch_size"):
        StepSampler(10, batch_size)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_the_middle_equal_those_of_an_uninterrupted_run(workers):
    loader = Loader(Rows(22), StepSampler(22, 4, seed=2), num_workers=workers)
    whole = [(b["index"].numpy().tolist(), b["pass"].numpy().tolist()) for b in loader.batches(0, 12)]
    resumed = [(b["index"].numpy().tolist(), b["pass"].numpy().tolist()) for b in loader.batches(7, 12)]
    assert len(whole) == 12 and resumed == whole[7:]
    assert list(loader.batches(12, 12)) == []


@pytest.mark.parametrize("size", [1, 2, 3, 100, 101])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 8, 200])
def test_in_order_shows_every_row_and_the_same_number_to_each_process(size, world, batch_size):
    if batch_size == 1 and size > 3:
        batch_size = 7
    parts = [[b["index"].numpy() for b in in_order(Rows(size), batch_size, rank, world)] for rank in range(world)]
    assert len({tuple(len(batch) for batch in part) for part in parts}) == 1
    rows = np.concatenate([batch for part in parts for batch in part])
    assert sorted(set(rows.tolist())) == list(range(size)) and len(rows) == -(-size // world) * world
    assert max(len(batch) for part in parts for batch in part) <= batch_size


class Failing(Rows):
    """Row 9 cannot be had."""

    def __init__(self, error: Exception):
        super().__init__(20)
        self.error = error

    def __getitem__(self, visit):
        if visit.row == 9:
            raise self.error
        return super().__getitem__(visit)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_fails_while_reading_reaches_the_caller_and_does_not_hang(workers):
    # Paddle's own loader waits for ever here without workers, and says "Blocking queue is killed" with them
    loader = Loader(Failing(InputError("the 9th is broken: ü")), StepSampler(20, 4, shuffle=False), workers)
    batches = loader.batches(0, 5)
    assert [next(batches)["index"].numpy().tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(InputError, match="^the 9th is broken: ü$"):
        next(batches)


def test_a_fault_of_the_program_while_reading_keeps_its_traceback():
    with pytest.raises(RuntimeError, match=r"(?s)reading data failed:.*in __getitem__.*ZeroDivisionError: of its own"):
        list(in_order(Failing(ZeroDivisionError("of its own")), 4))
