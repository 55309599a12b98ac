import json
from concurrent.futures import BrokenExecutor, Executor, Future

import pytest

from dedup import ReferenceIndex, Source
from dedup.errors import InputError
from dedup.shards import make_plan, run_shard, run_shards, shard_size_of


class Serial(Executor):
    """Runs at once; remembers what it was asked to do."""

    def __init__(self, failure=None):
        self.failure, self.asked = failure, []

    def submit(self, function, plan, shard, embed):
        self.asked.append(shard)
        future = Future()
        if self.failure is None:
            future.set_result(function(plan, shard, embed))
        else:
            future.set_exception(self.failure)
        return future


@pytest.fixture
def make(evaluation, pool, tmp_path):
    """`make(shard_size)`: a plan over four pictures."""
    index = ReferenceIndex.build(["0.png", "1.png"], root=evaluation)
    index.save(tmp_path / "index")
    source = Source.of(["jpeg.jpg", "other10.jpg", "crop.jpg", "missing.jpg"], pool)
    return lambda size: make_plan(tmp_path / "shards", source, tmp_path / "index", index.fingerprint, size)


def test_a_plan_cuts_the_pool_by_position(make):
    plan = make(3)
    assert [plan.names(s) for s in range(plan.shards)] == [["jpeg.jpg", "other10.jpg", "crop.jpg"], ["missing.jpg"]]
    assert make(3) == plan


def test_another_plan_is_refused_and_says_what_differs(make):
    make(3)
    with pytest.raises(InputError, match="shard_size 3 there, 2 now"):
        make(2)


def test_a_shard_is_a_pure_function(make):
    plan = make(3)
    run_shard(plan, 0)
    first = plan.result_file(0).read_bytes()
    run_shard(plan, 0)
    assert plan.result_file(0).read_bytes() == first
    assert [row[:2] for row in plan.result(0)["removed"]] == [["jpeg.jpg", "0.png"], ["crop.jpg", "1.png"]]


def test_only_missing_shards_are_done(make):
    plan = make(1)
    for shard in (1, 3):
        run_shard(plan, shard)
    executor = Serial()
    assert sorted(run_shards(plan, None, executor)) == [0, 1, 2, 3]
    assert executor.asked == [0, 2]
    assert list(run_shards(plan, None, None)) == [0, 1, 2, 3]


def test_a_dead_worker_is_explained(make):
    with pytest.raises(InputError, match="a worker process died"):
        list(run_shards(make(2), None, Serial(BrokenExecutor())))


def test_results_of_another_plan_or_damaged_ones_are_refused(make):
    plan = make(4)
    run_shard(plan, 0)
    other = {**plan.result(0), "plan": "other"}
    plan.result_file(0).write_text(json.dumps(other))
    with pytest.raises(InputError, match="belongs to the plan other"):
        plan.result(0)
    plan.result_file(0).write_text("{")
    with pytest.raises(InputError, match="Remove it, its shard will be done again"):
        plan.result(0)


def test_shards_are_small_for_small_pools_and_never_above_ten_thousand():
    assert [shard_size_of(n) for n in (1, 1500, 64_000, 14_000_000)] == [32, 32, 1000, 10_000]
