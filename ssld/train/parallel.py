"""What several processes have to agree on."""
from __future__ import annotations

import numpy as np
import paddle
import paddle.distributed as dist
from paddle import nn

from ..device import rank, world_size

_STATISTICS = ("_mean", "_variance")


def average_statistics(network: nn.Layer) -> None:
    """Replace each process's batch-norm statistics by the mean over processes.

    They are local to a process while training; without this, evaluation would judge weights that nobody saves.
    """
    if world_size() == 1:
        return
    for name, tensor in network.state_dict().items():
        if name.rsplit(".", 1)[-1] in _STATISTICS:
            total = tensor.detach().clone()
            dist.all_reduce(total)
            tensor.set_value(total / world_size())


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
