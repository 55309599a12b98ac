import time
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import pytest

from dedup.errors import InputError
from dedup.workers.executors import Workers, open_executor, reader, run_tasks


class Threads(ThreadPoolExecutor):
    """Threads that say how many tasks they want."""

    in_flight = 4
    map = Workers.map


class Dying(Threads):
    """The worker of a task dies as often as it says: tasks are called with the times that are left."""

    def __init__(self, deaths):
        super().__init__(2)
        self.deaths, self.submitted = dict(deaths), []

    def submit(self, function, item):
        self.submitted.append(item)
        if self.deaths.get(item, 0):
            self.deaths[item] -= 1
            return super().submit(die)
        return super().submit(function, item)


class Finished(Threads):
    def submit(self, function, item):
        raise BrokenExecutor("it is over")


def die():
    raise BrokenExecutor("the worker died")


def double(number):
    time.sleep(0.002 * (number % 3))
    return 2 * number


def refuse_three(number):
    if number == 3:
        raise InputError("three is wrong")
    return number


def test_one_local_worker_is_this_process():
    with open_executor() as executor:
        assert executor is None
    assert list(run_tasks(double, [1, 2], None)) == [(1, 2), (2, 4)]
    assert reader(None) is map


@pytest.mark.parametrize("options, message", [
    ({"engine": "rey"}, "no engine 'rey'. Known: local, ray. Did you mean 'ray'"),
    ({"workers": 0}, "workers must be at least 1, got 0"),
    ({"address": "auto"}, "options of the engine 'ray'"),
    ({"gpus_per_task": 1}, "options of the engine 'ray'")])
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message), open_executor(**options):
        pass


def test_every_item_comes_back_with_its_result():
    with Threads(2) as executor:
        assert sorted(run_tasks(double, range(50), executor)) == [(n, 2 * n) for n in range(50)]


def test_items_are_drawn_only_when_there_is_room():
    drawn = []
    with Threads(2) as executor:
        for number, _ in enumerate(run_tasks(double, (drawn.append(n) or n for n in range(50)), executor), start=1):
            assert len(drawn) <= number + Threads.in_flight
    assert len(drawn) == 50


@pytest.mark.parametrize("chunksize", [1, 4, 100])
def test_a_map_keeps_the_order(chunksize):
    with Threads(2) as executor:
        assert list(executor.map(double, range(30), chunksize=chunksize)) == [2 * n for n in range(30)]
        assert list(executor.map(pow, [2, 3], [4, 2], chunksize=chunksize)) == [16, 9]
        assert list(reader(executor)(double, [1, 2])) == [2, 4]


def test_what_a_task_raises_arrives_and_the_rest_is_not_started():
    started = []
    with Threads(1) as executor, pytest.raises(InputError, match="^three is wrong$"):
        list(run_tasks(refuse_three, (started.append(n) or n for n in range(50)), executor))
    assert len(started) <= 4 + Threads.in_flight


def test_tasks_of_a_lost_worker_are_done_again_alone():
    with Dying({3: 1, 5: 2}) as executor, pytest.warns(RuntimeWarning, match="a worker died"):
        assert sorted(run_tasks(double, range(9), executor)) == [(n, 2 * n) for n in range(9)]
    assert executor.submitted == [*range(9), 3, 5, 5]


def test_tasks_that_kill_their_worker_are_named_when_all_others_are_done():
    done = []
    with Dying({0: 9, 5: 9}) as executor, pytest.warns(RuntimeWarning), \
            pytest.raises(InputError, match="died twice over task 0; task 5: "):
        for number, _ in run_tasks(double, range(9), executor, lambda n: f"task {n}"):
            done.append(number)
    assert sorted(done) == [1, 2, 3, 4, 6, 7, 8]


def test_a_message_names_a_few_of_many_lost_tasks():
    with Dying(dict.fromkeys(range(8), 9)) as executor, pytest.warns(RuntimeWarning), \
            pytest.raises(InputError, match=r"over 0; 1; 2; 3; 4 and 3 more: .*\(the worker died\)"):
        list(run_tasks(double, range(8), executor))


def test_an_executor_at_its_end_is_explained():
    with Finished(1) as executor, pytest.raises(InputError, match="it is over What is done is kept: run the same again"):
        list(run_tasks(double, range(9), executor))
