"""Who does the work: this process, processes of this machine or a Ray cluster, behind the standard library's Executor."""
from __future__ import annotations

import contextlib
import difflib
import reprlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from functools import partial
from itertools import islice
from typing import Any, Optional

from ..errors import InputError

ENGINES = ("local", "ray")
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_IN_FLIGHT = 1000           # of an executor that does not say
_TRIES_ALONE = 2
_NAMED = 5                  # lost tasks that a message names
_PER_TASK = 8               # pictures read by one task


@contextlib.contextmanager
def open_executor(engine: str = "local", workers: int = 1, address: Optional[str] = None, gpus_per_task: float = 0,
                  temp_dir: Optional[str] = None) -> Iterator[Optional[Executor]]:
    """Workers with one thread each, for the time of a `with` block; None stands for this process.

    When the block is left by an exception, running tasks are given up, not waited for.

    Args:
        engine: "local" (processes of this machine) or "ray".
        workers: processes on this machine; 1 with the local engine is this process. A cluster that is joined has its
            own number.
        address: of a Ray cluster, "host:port", or "auto" on one of its machines. None: Ray on this machine alone.
        gpus_per_task: GPUs each task sees, such as 1 or 0.5; such tasks run in processes that stay, so that what they
            load is loaded once.
        temp_dir: folder for Ray's sessions on this machine, /tmp/ray by default.

    Raises:
        InputError: an unknown engine, options of another engine, or an engine that cannot start.
    """
    if engine not in ENGINES:
        near = difflib.get_close_matches(str(engine), ENGINES, 1)
        raise InputError(f"there is no engine {engine!r}. Known: {', '.join(ENGINES)}."
                         + (f" Did you mean {near[0]!r}?" if near else ""))
    if workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if engine == "ray":
        from .ray_cluster import open_ray  # Ray is an extra

        with open_ray(workers, address, gpus_per_task, temp_dir) as executor:
            yield executor
        return
    if address or gpus_per_task or temp_dir:
        raise InputError(f"address {address!r}, gpus_per_task {gpus_per_task!r} and temp_dir {temp_dir!r} are options of "
                         "the engine 'ray', not of 'local'. Leave them out or set engine: ray.")
    if workers == 1:
        yield None
        return
    from .local_executor import open_local

    with open_local(workers) as executor:
        yield executor


class Workers(Executor):
    """An executor whose `map` goes on when a worker dies.

    Attributes:
        workers: how many calls run at a time.
        in_flight: tasks it should have at a time, so that no worker waits and the rest stays unmade.
    """

    workers: int
    in_flight: int

    def map(self, function: Callable, /, *columns: Iterable, chunksize: int = 1) -> Iterator:
        """Results in the order of the arguments, as they are asked for; `chunksize` calls are one task."""
        batches = iter(partial(_take, zip(*columns), chunksize), [])
        early, turn = {}, 0
        for (number, _), results in run_tasks(partial(_do_batch, function), enumerate(batches), self):
            early[number] = results
            while turn in early:
                yield from early.pop(turn)
                turn += 1


def reader(executor: Optional[Executor]) -> Callable:
    """The `map` that reads pictures on the given workers."""
    return map if executor is None else partial(executor.map, chunksize=_PER_TASK)


def run_tasks(function: Callable, items: Iterable, executor: Optional[Executor],
              name: Callable[[Any], str] = reprlib.repr) -> Iterator[tuple]:
    """Call `function` for every item and yield (item, result) as they come.

    Items are drawn when there is room for them. When a worker dies, its items are done again at the end, one at a time,
    so that one that kills its worker cannot be confused with those beside it.

    Args:
        function: of a module, and safe to repeat.
        items: what it is called with.
        executor: None: this process does everything.
        name: how messages call an item.

    Raises:
        InputError: an item whose worker died twice while it was alone, when all others are done; or an executor that is
            at its end.
        Exception: what `function` raised.
    """
    if executor is None:
        yield from ((item, function(item)) for item in items)
        return
    items, running, lost = iter(items), {}, []
    try:
        while _fill(running, function, items, executor):
            for future, item in _take_finished(running):
                if isinstance(future.exception(), BrokenExecutor):
                    lost.append(item)
                else:
                    yield item, future.result()
        killers = []
        for item in lost:
            future = _do_alone(function, item, executor)
            if isinstance(future.exception(), BrokenExecutor):
                killers.append((item, future.exception()))
            else:
                yield item, future.result()
    finally:
        for future in running:
            future.cancel()
    if killers:
        raise InputError(f"a worker died twice over {'; '.join(name(item) for item, _ in killers[:_NAMED])}"
                         f"{f' and {len(killers) - _NAMED} more' if len(killers) > _NAMED else ''}: it ran out of memory, or a "
                         f"file breaks a library ({killers[0][1]}). Everything else is done and kept. Give the workers more "
                         "memory or leave the file out, then run the same again.") from killers[0][1]


def _do_alone(function: Callable, item, executor: Executor) -> Future:
    for _ in range(_TRIES_ALONE):
        (future, _), = _take_finished(_fill({}, function, [item], executor))
        if not isinstance(future.exception(), BrokenExecutor):
            break
    return future


def _fill(running: dict[Future, Any], function: Callable, items: Iterable, executor: Executor) -> dict[Future, Any]:
    """Submit items until there are enough; returns what is running."""
    try:
        for item in islice(items, getattr(executor, "in_flight", _IN_FLIGHT) - len(running)):
            running[executor.submit(function, item)] = item
    except BrokenExecutor as error:
        raise InputError(f"the workers died and no new ones can be had: {error} What is done is kept: run the same again, "
                         "perhaps with fewer workers.") from error
    return running


def _take_finished(running: dict[Future, Any]) -> list[tuple[Future, Any]]:
    """Wait until something is finished and take it out of `running`, in the order of submission."""
    finished = wait(running, return_when=FIRST_COMPLETED).done
    taken = [(future, item) for future, item in running.items() if future in finished]
    for future, _ in taken:
        del running[future]
    if any(isinstance(future.exception(), BrokenExecutor) for future, _ in taken):
        warnings.warn("a worker died: it was killed or ran out of memory. Its tasks are done again, one at a time.",
                      RuntimeWarning, stacklevel=3)
    return taken


def _take(rows: Iterable[tuple], count: int) -> list[tuple]:
    return list(islice(rows, count))


def _do_batch(function: Callable, batch: tuple[int, list[tuple]]) -> list:
    return [function(*row) for row in batch[1]]
