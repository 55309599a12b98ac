"""Processes of this machine behind the standard library's Executor."""
from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.connection import Connection

import cv2
import faiss

from ..errors import InputError
from .executors import BLAS_THREADS, Workers


@contextlib.contextmanager
def open_local(workers: int) -> Iterator[LocalExecutor]:
    """Processes with one thread each; see `executors.open_executor`."""
    before = {name: os.environ.get(name) for name in BLAS_THREADS}
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))        # read by numpy when a child imports it
    try:
        with LocalExecutor(workers) as executor:
            try:
                _require_start(executor)
                yield executor
            except BaseException:
                executor.abandon()
                raise
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class LocalExecutor(Workers):
    """Processes of this machine, replaced by fresh ones when one of them dies. They die with this process."""

    def __init__(self, workers: int):
        self.in_flight, self.workers = 2 * workers, workers
        self._start()

    def _start(self) -> None:
        # not forked: a child would inherit the locks of threads that OpenCV or faiss run here
        context = multiprocessing.get_context("spawn")
        reader, self._lifeline = context.Pipe(duplex=False)
        self._pool = ProcessPoolExecutor(self.workers, context, _begin, (reader,))

    def submit(self, function: Callable, /, *args, **kwargs) -> Future:
        """Have the call done by a process."""
        try:
            return self._pool.submit(function, *args, **kwargs)
        except BrokenExecutor:
            self._pool.shutdown()
            self._start()
            return self._pool.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes once they have done their tasks; with `cancel_futures` those that wait are dropped."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def abandon(self) -> None:
        """End the processes at once."""
        self._lifeline.close()


def _require_start(executor: Executor) -> None:
    try:
        executor.submit(os.getpid).result()
    except BrokenExecutor as error:
        raise InputError("no worker process could start: is there memory for it, and does the script call this inside of "
                         "`if __name__ == \"__main__\":`? Every worker imports the script.") from error


def _begin(lifeline: Connection) -> None:
    """First act of a worker process."""
    cv2.setNumThreads(1)
    faiss.omp_set_num_threads(1)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: Connection) -> None:
    """Its last one, when the other end is closed: on purpose, or because the process that holds it was killed."""
    lifeline.poll(None)
    os._exit(1)
