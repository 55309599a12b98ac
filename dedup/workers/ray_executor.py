"""Tasks on a Ray cluster behind the standard library's Executor.

Ray has no such class; its `multiprocessing.Pool`, on which its joblib backend stands, loses the tasks of a worker that
dies, while Ray's own tasks are done again elsewhere.
"""
from __future__ import annotations

import contextlib
import os
import queue
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, InvalidStateError
from concurrent.futures import wait as wait_for
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import ray
from ray.exceptions import RayActorError, RayTaskError

from ..errors import InputError
from ..threads import one_thread
from .executors import BLAS_THREADS, Workers

_RETRIES = 3                # of a task whose worker or machine is lost
_LEAST_IN_FLIGHT = 256      # enough for machines that join later


class RayFuture(Future):
    """A call; it can be cancelled as long as it is not done, even while it runs."""

    reference: Optional[ray.ObjectRef] = None

    def cancel(self) -> bool:
        """Drop the call; False if it is done already."""
        if not super().cancel():
            return False
        self.set_running_or_notify_cancel()
        if self.reference is not None:
            _stop(self.reference)
        return True


class _Job(NamedTuple):
    future: RayFuture
    call: tuple
    tries: int


class RayExecutor(Workers):
    """Calls as tasks of the Ray that this process is connected to.

    A worker or machine that is lost costs nothing but time: its calls are done again elsewhere, three times at most.
    Workers import this installation: the same path, if they have it, comes before what is installed there. They start in
    the same folder, and use one thread.

    Args:
        gpus_per_task: with GPUs, calls go to actors, as many as the cluster has room for, which stay between calls: Ray
            ends the process of a plain task with a GPU after every call.

    Raises:
        InputError: the cluster has not that many GPUs.
    """

    def __init__(self, gpus_per_task: float = 0):
        self._jobs: queue.SimpleQueue[Optional[_Job]] = queue.SimpleQueue()
        self._slots: queue.SimpleQueue = queue.SimpleQueue()    # who takes a call next
        self._open: set[RayFuture] = set()
        self._closed = False
        options = {"num_cpus": 1, "runtime_env": {"env_vars": _environment()}}
        if gpus_per_task:
            self._actors = _room_for(gpus_per_task)
            self.workers, self.in_flight = self._actors, 2 * self._actors
            self._actor = ray.remote(num_gpus=gpus_per_task, **options)(_Actor)
            for _ in range(self._actors):
                self._hire()
        else:
            self.workers = int(ray.cluster_resources().get("CPU", 1))
            self.in_flight = max(_LEAST_IN_FLIGHT, 2 * self.workers)
            task = ray.remote(max_retries=_RETRIES, **options)(_call)
            for _ in range(self.in_flight):
                self._slots.put(task)
        self._thread = threading.Thread(target=self._hand_out, daemon=True)
        self._thread.start()

    def submit(self, function: Callable, /, *args, **kwargs) -> RayFuture:
        """Have the call done somewhere."""
        if self._closed:
            raise RuntimeError("this executor was shut down and takes no more calls")
        future = RayFuture()
        self._open.add(future)
        future.add_done_callback(self._open.discard)
        self._jobs.put(_Job(future, (os.getcwd(), function, args, kwargs), 0))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; with `cancel_futures` drop those that are not done, else with `wait` wait for them."""
        self._closed, unfinished = True, list(self._open)
        if cancel_futures:
            for future in unfinished:
                future.cancel()
            self._slots.put(BrokenExecutor("the executor was shut down"))       # for a job that waits for a slot
        elif wait:
            wait_for(unfinished)
        self._jobs.put(None)

    def _hand_out(self) -> None:
        """Give every job to a free slot; the work of the executor's own thread."""
        while (job := self._jobs.get()) is not None:
            while (slot := self._slots.get()) is None:          # an actor was lost
                self._hire()
            if isinstance(slot, Exception):                     # there will never be one again
                self._slots.put(slot)
                _settle(job.future, slot)
            elif job.future.cancelled():
                self._slots.put(slot)
            else:
                self._begin(job, slot)

    def _begin(self, job: _Job, slot) -> None:
        try:
            job.future.reference = slot.remote(*job.call)
        except Exception as error:              # a function or argument that cannot be sent
            self._slots.put(slot)
            _settle(job.future, error)
            return
        job.future.reference.future().add_done_callback(partial(self._finish, job, slot))
        if job.future.cancelled():
            _stop(job.future.reference)

    def _finish(self, job: _Job, slot, outcome: Future) -> None:
        error = outcome.exception()
        is_lost = isinstance(error, RayActorError)
        if not is_lost:
            self._slots.put(slot)
        elif not slot.is_lost:                                  # not after its second call as well
            slot.is_lost = True
            self._slots.put(None)
        if is_lost and job.tries < _RETRIES:
            self._jobs.put(job._replace(tries=job.tries + 1))
        elif isinstance(error, RayTaskError):
            _settle(job.future, _original(error))
        elif error is not None:
            _settle(job.future, BrokenExecutor(str(error)))
        else:
            _settle(job.future, None, outcome.result())

    def _hire(self) -> None:
        """Start an actor, which takes calls once it runs: one that waits for its GPU must not keep any."""
        actor = self._actor.remote()
        actor.ready.remote().future().add_done_callback(partial(self._welcome, actor))

    def _welcome(self, actor, outcome: Future) -> None:
        if outcome.exception() is None:
            hand = _Hand(actor)
            self._slots.put(hand)
            self._slots.put(hand)               # the next call is there when one ends
            return
        self._actors -= 1
        if not self._actors:
            self._slots.put(BrokenExecutor(f"no process with a GPU could start: {outcome.exception()}"))


class _Hand:
    """A slot that is an actor; the actor ends when nobody holds it any more."""

    def __init__(self, actor):
        self.actor, self.is_lost = actor, False

    def remote(self, *call) -> ray.ObjectRef:
        return self.actor.call.remote(*call)


class _Actor:
    """A process that stays between calls."""

    def ready(self) -> None:
        """Answer once the process runs."""

    def call(self, folder: str, function: Callable, args: tuple, kwargs: dict):
        """The same as a task."""
        return _call(folder, function, args, kwargs)


def _call(folder: str, function: Callable, args: tuple, kwargs: dict):
    with contextlib.suppress(OSError):          # a machine without this folder needs whole paths
        os.chdir(folder)
    with one_thread():
        return function(*args, **kwargs)


def _stop(reference: ray.ObjectRef) -> None:
    with contextlib.suppress(Exception):        # on some errors of its own Ray lets the call run on; nobody waits for it
        ray.cancel(reference)


def _settle(future: RayFuture, error: Optional[BaseException], result=None) -> None:
    with contextlib.suppress(InvalidStateError):        # cancelled meanwhile
        future.set_result(result) if error is None else future.set_exception(error)


def _original(error: RayTaskError) -> BaseException:
    """What the call raised; the traceback of the worker is its cause."""
    if not isinstance(error.cause, Exception):
        return error
    error.cause.__cause__ = error
    return error.cause


def _environment() -> dict[str, str]:
    """Of the workers: one thread for BLAS, and where this package lies if it is a clone."""
    here = os.fspath(Path(__file__).resolve().parent.parent.parent)
    places = [os.environ.get("PYTHONPATH", "")]
    if here != sysconfig.get_path("purelib"):
        places.insert(0, here)
    return {**dict.fromkeys(BLAS_THREADS, "1"), "PYTHONPATH": os.pathsep.join(filter(None, places))}


def _room_for(gpus_per_task: float) -> int:
    """How many processes with so many GPUs the cluster holds."""
    gpus = ray.cluster_resources().get("GPU", 0)
    if gpus < gpus_per_task:
        raise InputError(f"a task wants {gpus_per_task:g} GPUs, the cluster has {gpus:g}. Set gpus_per_task: 0 to work on "
                         "CPUs, or add machines with GPUs.")
    return int(gpus // gpus_per_task)
