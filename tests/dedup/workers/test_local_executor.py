import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dedup.errors import InputError
from dedup.workers.executors import BLAS_THREADS, open_executor, run_tasks

CHORES = """
import os, signal
from pathlib import Path

def die_at_first(file):
    if not Path(file).exists():
        Path(file).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"

def die_at_three(number):
    if number == 3:
        os._exit(1)
    return number
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def chores(tmp_path_factory):
    """Functions of a module that worker processes can import."""
    folder = tmp_path_factory.mktemp("chores")
    (folder / "worker_chores.py").write_text(CHORES)
    sys.path.insert(0, str(folder))
    import worker_chores
    yield worker_chores
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def pool(chores):
    with open_executor("local", workers=2) as executor:
        yield executor


def start(script, *arguments):
    return subprocess.Popen([sys.executable, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_processes_have_one_thread_each_and_this_one_keeps_its_own(pool):
    assert list(pool.map(os.getenv, BLAS_THREADS)) == ["1"] * 3
    import cv2
    import faiss
    assert pool.submit(cv2.getNumThreads).result() == pool.submit(faiss.omp_get_max_threads).result() == 1


@pytest.mark.filterwarnings("ignore:a worker died")
def test_a_process_that_is_killed_costs_nothing(pool, chores, tmp_path):
    files = [str(tmp_path / name) for name in "abc"]
    assert sorted(run_tasks(chores.die_at_first, files, pool)) == [(file, "done") for file in files]


@pytest.mark.filterwarnings("ignore:a worker died")
def test_a_task_that_kills_its_process_is_named_and_the_pool_goes_on(pool, chores):
    done = []
    with pytest.raises(InputError, match="a worker died twice over 3: "):
        for number, _ in run_tasks(chores.die_at_three, range(6), pool):
            done.append(number)
    assert sorted(done) == [0, 1, 2, 4, 5]
    assert list(pool.map(abs, [-1, -2])) == [1, 2]


def test_an_exception_ends_running_tasks(chores):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), open_executor("local", workers=2) as executor:
        executor.submit(time.sleep, 120)
        raise KeyboardInterrupt
    assert time.monotonic() - began < 60


def test_processes_end_when_this_one_is_killed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, time\nfrom dedup.workers.executors import open_executor\n"
                      "if __name__ == '__main__':\n"
                      "    with open_executor('local', 2) as executor:\n"
                      "        print(executor.submit(os.getpid).result(), flush=True)\n"
                      "        time.sleep(60)\n")
    process = start(str(script))
    worker = int(process.stdout.readline())
    os.kill(worker, 0)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    for _ in range(100):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z":
            return              # dead; nobody has collected it yet
        time.sleep(0.1)
    pytest.fail("the worker outlived its parent")


@pytest.mark.slow
def test_a_script_without_a_guard_is_explained(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from dedup.workers.executors import open_executor\nwith open_executor('local', 2):\n    pass\n")
    _, messages = start(str(script)).communicate(timeout=60)
    assert 'InputError: no worker process could start' in messages and '__name__ == "__main__"' in messages
