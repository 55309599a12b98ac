import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import BrokenExecutor, Executor, Future
from pathlib import Path

import pytest

from dedup import Options, ReferenceIndex, Source, shards
from dedup.errors import InputError
from dedup.index import fingerprint
from dedup.shards import make_plan, run_shard, run_shards, shard_size_of
from dedup.workers.executors import open_executor

NAMES = ["jpeg.jpg", "other10.jpg", "crop.jpg", "missing.jpg"]
WHOLE_RUN = """
import sys
from dedup import Source
from dedup.shards import make_plan, run_shards
from dedup.workers.executors import open_executor

if __name__ == "__main__":
    folder, pool, index, fingerprint, workers, *names = sys.argv[1:]
    with open_executor("local", int(workers)) as executor:
        print("ready", flush=True)
        list(run_shards(make_plan(folder, Source.of(names, pool), index, fingerprint, 1), None, executor))
"""


class Serial(Executor):
    """Runs at once; remembers what it was asked to do."""

    def __init__(self, failure=None):
        self.failure, self.asked = failure, []

    def submit(self, function, shard):
        self.asked.append(shard)
        future = Future()
        if self.failure is None:
            future.set_result(function(shard))
        else:
            future.set_exception(self.failure)
        return future


@pytest.fixture
def index(evaluation, tmp_path):
    index = ReferenceIndex.build(["0.png", "1.png"], root=evaluation)
    index.save(tmp_path / "index")
    return index


@pytest.fixture
def make(index, pool, tmp_path):
    """`make(shard_size)`: a plan over four pictures."""
    source = Source.of(NAMES, pool)
    return lambda size, folder="shards", **options: make_plan(tmp_path / folder, source, tmp_path / "index",
                                                              index.fingerprint, size, **options)


def results(plan):
    return [plan.result_file(shard).read_bytes() for shard in range(plan.shards)]


def test_a_plan_cuts_the_pool_by_position(make):
    plan = make(3)
    assert [plan.names(s) for s in range(plan.shards)] == [NAMES[:3], NAMES[3:]]
    assert [plan.size(s) for s in range(plan.shards)] == [3, 1]
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


@pytest.mark.filterwarnings("ignore:a worker died")
def test_shards_that_kill_their_worker_are_named_with_their_list(make):
    with pytest.raises(InputError, match=r"over shard 0 \(its images: .*00000.txt\); shard 1 \(its images: .*00001.txt\)"):
        list(run_shards(make(2), None, Serial(BrokenExecutor())))


def test_the_index_is_read_from_a_copy_when_there_is_a_cache(make, tmp_path):
    plan = make(4)
    run_shard(plan, 0)
    cached = make(4, "cached", cache=str(tmp_path / "cache"))
    run_shard(cached, 0)
    assert results(cached) == results(plan)
    (tmp_path / "index").rename(tmp_path / "away")
    shards._opened.clear()
    run_shard(cached, 0)
    shards._opened.clear()
    with pytest.raises(InputError, match="holds no usable reference index"):
        run_shard(plan, 0)


def test_an_index_serves_other_thresholds(make, tmp_path):
    options = Options(min_inliers=10_000)
    plan = make(4)._replace(index_fingerprint=fingerprint(["0.png", "1.png"], options, tmp_path / "val"))
    with pytest.raises(InputError, match="made from another evaluation list"):
        run_shard(plan, 0)
    run_shard(plan._replace(options=options), 0)
    assert plan.result(0)["removed"] == []


def test_results_of_another_plan_or_shard_or_damaged_ones_are_refused(make):
    plan = make(2)
    for shard in (0, 1):
        run_shard(plan, shard)
    good, file = plan.result(0), plan.result_file(0)
    file.write_text(json.dumps({**good, "plan": "other"}))
    with pytest.raises(InputError, match="belongs to the plan other"):
        plan.result(0)
    for changed in (plan.result(1), {**good, "counts": {**good["counts"], "images": 1}}):
        file.write_text(json.dumps(changed))
        with pytest.raises(InputError, match="00000.json was changed"):
            plan.result(0)
    file.write_text(json.dumps({key: value for key, value in good.items() if key != "removed"}))
    with pytest.raises(InputError, match="00000.json cannot be read"):
        plan.result(0)


def test_a_result_cut_short_anywhere_is_refused_by_name(make):
    plan = make(4)
    run_shard(plan, 0)
    whole = plan.result_file(0).read_bytes()
    for length in range(0, len(whole) - 1, 7):
        plan.result_file(0).write_bytes(whole[:length])
        with pytest.raises(InputError, match="00000.json cannot be read.*Remove it, its shard will be done again"):
            plan.result(0)
    plan.result_file(0).unlink()
    assert list(run_shards(plan, None, None)) == [0] and plan.result_file(0).read_bytes() == whole


def test_a_list_cut_short_is_refused_and_written_again(make, tmp_path):
    plan = make(4)
    whole = plan.list_file(0).read_bytes()
    for length in (0, 9, 10, len(whole) - 1):
        plan.list_file(0).write_bytes(whole[:length])
        with pytest.raises(InputError, match="00000.txt was changed"):
            plan.names(0)
    (tmp_path / "shards" / "plan.json").unlink()
    assert make(4).names(0) == NAMES


def test_a_full_disk_is_explained_and_what_is_done_is_kept(make, monkeypatch):
    plan, fsync = make(1), os.fsync
    list(zip(range(2), run_shards(plan, None, None)))

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="00002.sha256 could not be written: No space left on device. Free some space"):
        list(run_shards(plan, None, None))
    monkeypatch.setattr(os, "fsync", fsync)
    assert sorted(file.name for file in Path(plan.folder).glob("*.json")) == ["00000.json", "00001.json", "plan.json"]
    assert list(run_shards(plan, None, None)) == [0, 1, 2, 3]


def test_shards_are_small_for_small_pools_and_never_above_ten_thousand():
    assert [shard_size_of(n) for n in (1, 1500, 64_000, 14_000_000)] == [32, 32, 1000, 10_000]


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_processes(make):
    here, there = make(1), make(1, "there")
    list(run_shards(here, None, None))
    with open_executor("local", workers=2) as executor:
        assert sorted(run_shards(there, None, executor)) == [0, 1, 2, 3]
    assert results(there) == results(here)


@pytest.mark.slow
@pytest.mark.parametrize("workers, kills", [("1", 5), ("2", 2)])
def test_a_run_that_is_killed_again_and_again_ends_as_if_nothing_had_happened(index, pool, tmp_path, workers, kills):
    names = sorted(file.name for file in pool.glob("*.*"))
    whole = make_plan(tmp_path / "whole", Source.of(names, pool), tmp_path / "index", index.fingerprint, 1)
    list(run_shards(whole, None, None))
    killed = whole._replace(folder=str(tmp_path / "killed"))
    (tmp_path / "run.py").write_text(WHOLE_RUN)
    command = [sys.executable, str(tmp_path / "run.py"), killed.folder, str(pool), str(tmp_path / "index"), index.fingerprint,
               workers, *names]

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def start():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        assert process.stdout.readline() == b"ready\n"
        return process

    def done():
        return sum(killed.result_file(shard).exists() for shard in range(whole.shards))
    moments, left = random.Random(0), []
    for _ in range(kills):
        process, enough = start(), done() + moments.randint(0, 2)
        while done() < enough and process.poll() is None:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left.append(done())
    assert left[0] < whole.shards and left[-1] > 0
    assert start().wait(60) == 0
    assert results(killed) == results(whole)
