"""Joining a Ray cluster, or starting Ray on this machine."""
from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any, Optional

from ..errors import InputError

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")      # read when Ray is imported
try:
    import ray
    from ray.exceptions import RayError
except ModuleNotFoundError as error:
    raise InputError(f"the engine 'ray' needs Ray, which is not installed here ({error}): pip install '.[ray]' in the "
                     "folder of the project, on every machine.") from error

from .ray_executor import RayExecutor

_PATIENCE = 10              # seconds for the first machine of a cluster to answer


@contextlib.contextmanager
def open_ray(workers: int, address: Optional[str], gpus_per_task: float,
             temp_dir: Optional[str]) -> Iterator[RayExecutor]:
    """An executor on a cluster, or on a Ray of this machine with `workers` CPUs; see `executors.open_executor`.

    A Ray that this process is connected to already is used as it is, and left running.
    """
    _require_pyarrow()
    connected = ray.is_initialized()
    if not connected:
        _connect(workers, address, temp_dir)
    try:
        executor = RayExecutor(gpus_per_task)
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise
        executor.shutdown()
    finally:
        if not connected:
            ray.shutdown()


def _require_pyarrow() -> None:
    """Ray imports pyarrow at the first call if it is there, and one that fails to import breaks every call."""
    try:
        import pyarrow  # noqa: F401
    except ModuleNotFoundError:
        pass
    except Exception as error:
        raise InputError(f"the pyarrow that is installed here cannot be imported, which breaks every call of Ray: {error} "
                         "Install one that goes with this numpy, pip install 'pyarrow<26', or remove it: it is not "
                         "needed.") from error


def _connect(workers: int, address: Optional[str], temp_dir: Optional[str]) -> None:
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "num_cpus": workers, "include_dashboard": False,
                   "_temp_dir": temp_dir and os.path.abspath(temp_dir)}
    elif temp_dir:
        raise InputError(f"temp_dir {temp_dir!r} cannot be set for the cluster {address!r}, which runs already: give it to "
                         "`ray start --temp-dir` or leave it out.")
    try:
        _require_answer(address)
        ray.init(logging_level=logging.WARNING, **options)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        where = f"at {address!r}" if address else "on this machine"
        raise InputError(f"Ray {where} does not start or answer: {error} A cluster is started with `ray start --head "
                         "--port=6379` on its first machine; address None starts Ray here.") from error


def _require_answer(address: Optional[str]) -> None:
    """Ray itself waits for minutes at an address where nobody is."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), _PATIENCE).close()
