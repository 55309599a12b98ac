import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dedup import ReferenceIndex, Source
from dedup.errors import InputError
from dedup.shards import make_plan, run_shards
from dedup.workers.executors import BLAS_THREADS, open_executor, run_tasks

pytest.importorskip("ray", reason="Ray is not installed: pip install '.[ray]'")
from dedup.workers import ray_cluster  # noqa: E402

pytestmark = [pytest.mark.dist, pytest.mark.filterwarnings("ignore")]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def chore():
    """Functions by name; workers cannot import this file, and what is defined inside of a function travels as code."""
    def refuse(number):
        from dedup.errors import InputError
        raise InputError(f"{number} is wrong")

    def die_at_first(file):
        if not os.path.exists(file):
            open(file, "x").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return "done"

    def die(number):
        if number == 1:
            os._exit(1)
        return number

    def sleep(seconds):
        for _ in range(int(seconds * 100)):
            time.sleep(0.01)

    return {function.__name__: function for function in (refuse, die_at_first, die, sleep)}


@pytest.fixture(scope="module")
def executor():
    with open_executor("ray", workers=2) as executor:
        yield executor


@pytest.fixture
def plan(evaluation, pool, tmp_path):
    """`plan(folder, size)`: a plan over the whole pool."""
    index = ReferenceIndex.build(["0.png", "1.png", "2.png"], root=evaluation)
    index.save(tmp_path / "index")
    source = Source.of(sorted(file.name for file in pool.glob("*.*")), pool)
    return lambda folder, size, **options: make_plan(tmp_path / folder, source, tmp_path / "index", index.fingerprint, size,
                                                     **options)


def results(plan):
    return [plan.result_file(shard).read_bytes() for shard in range(plan.shards)]


@pytest.mark.parametrize("size", [1, 4])
def test_results_are_those_of_this_process(executor, plan, tmp_path, size):
    here, there = plan("here", size), plan("there", size, cache=str(tmp_path / "cache"))
    list(run_shards(here, None, None))
    assert sorted(run_shards(there, None, executor)) == list(range(here.shards))
    assert results(there) == results(here)


def test_an_index_read_by_workers_is_the_same(executor, evaluation, tmp_path):
    names = ["0.png", "1.png", "2.png"]
    for folder, read in (("here", map), ("there", executor.map)):
        ReferenceIndex.build(names, root=evaluation, map=read).save(tmp_path / folder)
    for file in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / file.name).read_bytes() == file.read_bytes()


def test_workers_have_one_thread_and_this_folder(executor):
    assert list(executor.map(os.getenv, BLAS_THREADS)) == ["1"] * 3
    assert executor.submit(os.getcwd).result() == os.getcwd()
    import cv2
    import faiss
    assert executor.submit(cv2.getNumThreads).result() == executor.submit(faiss.omp_get_max_threads).result() == 1


def test_a_map_keeps_the_order(executor):
    assert list(executor.map(pow, range(30), [2] * 30, chunksize=4)) == [n ** 2 for n in range(30)]


def test_exceptions_travel_as_they_are(executor, chore):
    with pytest.raises(InputError, match="^7 is wrong$") as caught:
        list(run_tasks(chore["refuse"], [7], executor))
    assert type(caught.value) is InputError and "refuse" in str(caught.value.__cause__)


@pytest.mark.slow
def test_what_cannot_be_sent_is_an_error_and_the_next_call_is_done(executor):
    with pytest.raises(TypeError, match="lock"):
        executor.submit(abs, threading.Lock()).result(timeout=300)
    assert executor.submit(abs, -3).result(timeout=300) == 3


@pytest.mark.slow
def test_a_call_is_cancelled_while_it_waits_or_runs(executor, chore):
    began = time.monotonic()
    futures = [executor.submit(chore["sleep"], 600) for _ in range(4)]
    time.sleep(1)
    assert all(future.cancel() for future in futures)
    assert executor.submit(abs, -3).result(timeout=300) == 3 and time.monotonic() - began < 400


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(executor, chore, tmp_path):
    files = [str(tmp_path / name) for name in "abc"]
    assert sorted(run_tasks(chore["die_at_first"], files, executor)) == [(file, "done") for file in files]


@pytest.mark.slow
def test_a_task_that_always_kills_its_worker_is_named(executor, chore):
    done = []
    with pytest.raises(InputError, match="a worker died twice over 1: "):
        for number, _ in run_tasks(chore["die"], range(4), executor):
            done.append(number)
    assert sorted(done) == [0, 2, 3]


def test_a_cluster_without_gpus_says_so(executor):
    with pytest.raises(InputError, match="a task wants 64 GPUs, the cluster has"), open_executor("ray", gpus_per_task=64):
        pass


def run_script(script, tmp_path, *arguments):
    """A process of its own: Ray is connected to once per process."""
    (tmp_path / "script.py").write_text(script)
    return subprocess.run([sys.executable, str(tmp_path / "script.py"), *arguments], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=300)


NODE_IS_LOST = """
import sys, time
import ray
from ray.cluster_utils import Cluster
from dedup import Source
from dedup.workers.executors import open_executor, run_tasks
from dedup.shards import make_plan, run_shards

def where(number):
    time.sleep(0.3)
    return ray.get_runtime_context().get_node_id()

if __name__ == "__main__":
    folder, pool, index, fingerprint, *names = sys.argv[1:]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1), cluster.add_node(num_cpus=1)]
    with open_executor("ray", address="auto") as executor:
        own = ray.get_runtime_context().get_node_id()       # Ray removes no machine that it is reached by
        socket = next(node["RayletSocketName"] for node in ray.nodes() if node["NodeID"] == own)
        second = next(node for node in nodes if node.raylet_socket_name != socket)
        plan = make_plan(folder, Source.of(names, pool), index, fingerprint, 1)
        assert sorted(run_shards(plan, None, executor)) == list(range(plan.shards))
        hosts, numbers = set(), []
        for number, host in run_tasks(where, range(60), executor):
            hosts.add(host)
            numbers.append(number)
            if len(numbers) >= 8 and len(hosts) == 2 and second is not None:
                cluster.remove_node(second, allow_graceful=False)
                second = None
    assert sorted(numbers) == list(range(60)), numbers
    print("both machines" if second is None else "one machine")
    cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_is_joined_and_a_machine_lost_in_mid_run_loses_nothing(plan, pool, tmp_path):
    here = plan("here", 1)
    list(run_shards(here, None, None))
    there = here._replace(folder=str(tmp_path / "there"))
    names = [name for shard in range(here.shards) for name in here.names(shard)]
    done = run_script(NODE_IS_LOST, tmp_path, there.folder, here.root, here.index, here.index_fingerprint, *names)
    assert done.returncode == 0, done.stderr
    assert "both machines" in done.stdout
    assert results(there) == results(here)


GPUS = """
import os, sys, time
from ray.cluster_utils import Cluster
from dedup.workers.executors import open_executor, run_tasks

def who(number):
    time.sleep(0.1)
    return os.getpid(), os.environ["CUDA_VISIBLE_DEVICES"]

def die_at_first(file):
    if not os.path.exists(file):
        open(file, "x").close()
        os._exit(1)
    return os.environ["CUDA_VISIBLE_DEVICES"]

def both(executor):
    # the second process may start later
    found, until = set(), time.monotonic() + 60
    while {gpu for _, gpu in found} != {"0", "1"} and time.monotonic() < until:
        found.update(result for _, result in run_tasks(who, range(4), executor))
    assert len(found) == 2, found
    return found

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "num_gpus": 2})
    with open_executor("ray", address=cluster.address, gpus_per_task=1) as executor:
        first = both(executor)
        assert {result for _, result in run_tasks(who, range(20), executor)} <= first
        files = [os.path.join(sys.argv[1], f"died{number}") for number in range(3)]
        assert sorted(file for file, _ in run_tasks(die_at_first, files, executor)) == files
        assert both(executor) != first
    cluster.shutdown()
    print("all done")
"""


@pytest.mark.slow
def test_processes_with_a_gpu_stay_and_are_replaced_when_they_die(tmp_path):
    done = run_script(GPUS, tmp_path, str(tmp_path))
    assert "all done" in done.stdout, done.stderr


def test_a_folder_that_a_cluster_cannot_take_is_refused():
    with pytest.raises(InputError, match="temp_dir '/tmp/x' cannot be set for the cluster 'auto'"):
        ray_cluster._connect(1, "auto", "/tmp/x")


@pytest.mark.slow
def test_what_hinders_ray_is_explained(tmp_path):
    script = ("import sys\nfrom dedup.workers.executors import open_executor\nfrom dedup.errors import InputError\n"
              "try:\n    with open_executor('ray', address=sys.argv[1] or None):\n        pass\n"
              "except InputError as error:\n    print(error)\n")
    assert "Ray at '127.0.0.1:9' does not start or answer" in run_script(script, tmp_path, "127.0.0.1:9").stdout
    (tmp_path / "pyarrow.py").write_text("raise ImportError('needs numpy 2')")
    assert "'pyarrow<26'" in run_script(script, tmp_path, "").stdout
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError('No module named ray', name='ray')")
    assert "pip install '.[ray]'" in run_script(script, tmp_path, "").stdout
