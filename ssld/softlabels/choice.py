"""Which of an image's stored crops a visit shows."""
from __future__ import annotations

import numpy as np

from ..checks import one_of


def random_crops(seed: int, row: int, epoch: int, count: int, stored: int) -> np.ndarray:
    """Drawn anew at each visit, none twice in one visit.

    Over a run this leaves many crops out: of 500, 226 are seen in 300 epochs with 4 crops per visit.
    """
    return np.random.default_rng((seed, epoch, row)).permutation(stored)[np.arange(count) % stored]


def covering_crops(seed: int, row: int, epoch: int, count: int, stored: int) -> np.ndarray:
    """The next ones of an order that is the image's own, so that none comes twice before all have come once.

    `epoch` is how many crops of the image were shown before.
    """
    laps, places = np.divmod(np.arange(epoch, epoch + count), stored)
    orders = {lap: np.random.default_rng((seed, row, int(lap))).permutation(stored) for lap in np.unique(laps)}
    return np.array([orders[lap][place] for lap, place in zip(laps, places)])


POLICIES = {"random": random_crops, "cover": covering_crops}


def choose(policy: str, seed: int, row: int, epoch: int, count: int, stored: int) -> np.ndarray:
    """Numbers of the crops that a visit shows.

    Args:
        policy: one of POLICIES.
        seed: of the run.
        row: of the image in the training list.
        epoch: epochs done before the visit's pass.
        count: crops to show.
        stored: crops there are; when fewer than `count`, they come again.

    Returns:
        int64 [count], each below `stored`.
    """
    return one_of("policy", policy, POLICIES)(seed, row, epoch, count, stored)
