"""What several processes have to agree on."""
from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Union

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import nn

from ..device import is_main, rank, world_size
from ..errors import InputError

if TYPE_CHECKING:
    from ..optim.ema import EMA

_STATISTICS = ("_mean", "_variance")
_MAIN_LEAVES_S = 1.0            # time for the main process to end before the others do


def average_statistics(network: Union[nn.Layer, EMA]) -> None:
    """Replace each process's batch-norm statistics, of a network or of its EMA, by the mean over processes.

    They are local to a process while training; without this, evaluation would judge weights that nobody saves.
    """
    statistics = [tensor for name, tensor in network.state_dict().items() if name.rsplit(".", 1)[-1] in _STATISTICS]
    if world_size() == 1 or not statistics:
        return
    total = paddle.concat([tensor.detach().flatten() for tensor in statistics])         # one exchange, not a hundred
    dist.all_reduce(total)
    parts = paddle.split(total / world_size(), [tensor.size for tensor in statistics])
    for tensor, part in zip(statistics, parts):
        tensor.set_value(part.reshape(tensor.shape))


@contextlib.contextmanager
def together():
    """When one process leaves the block with an InputError, all of them do, with the same one.

    Otherwise the others would wait in the next exchange for the one that is gone, until the launcher ends them by a
    signal. Every process has to come here; within the block none may wait for another. Costs the exchange of one number.

    Raises:
        InputError: that of the first process that has one.
    """
    error = None
    try:
        yield
    except InputError as caught:
        error = caught
    if world_size() > 1:
        error = _first_error(error)
    if error is not None:
        if not is_main():
            time.sleep(_MAIN_LEAVES_S)      # the launcher ends all when one has gone, and reports the main one's status
        raise error


def gather_rows(rows: np.ndarray) -> np.ndarray:
    """The rows of all processes, one process after the other; each process brings the same number: int64 [n, c]."""
    if world_size() == 1:
        return rows
    parts: list = []
    dist.all_gather(parts, paddle.to_tensor(rows))
    return np.concatenate([part.numpy() for part in parts])


def seed_step(seed: int, step: int) -> None:
    """Make dropout and the like of a step a function of (seed, step, process), so that resuming repeats it."""
    paddle.seed(int(np.random.SeedSequence((seed, step, rank())).generate_state(1)[0]))


def _first_error(error: InputError | None) -> InputError | None:
    """The error of the first process that has one; texts travel only when there is one."""
    failed = paddle.to_tensor([error is not None], dtype="int32")
    dist.all_reduce(failed, dist.ReduceOp.MAX)
    if not int(failed):
        return None
    texts: list = []
    dist.all_gather_object(texts, None if error is None else str(error))
    return error or InputError(next(text for text in texts if text is not None))
