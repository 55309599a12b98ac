"""What a few seeds can tell: paired differences, their interval, and what remains when many are looked at."""
from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """Differences of the same seeds under two methods, and what they say about other seeds.

    Attributes:
        values: for each seed.
        mean: of these.
        deviation: their sample standard deviation; None with one seed.
        interval: in which the mean over all seeds lies with 95 % confidence, if the differences scatter normally; None with
            one seed.
        p: share of cases in which chance alone would make the mean as large in proportion to the deviation; None with one seed.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval lies on one side of 0; of a single seed nothing can be said."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def paired(values: Sequence[float]) -> Difference:
    """Student's t for paired samples.

    Args:
        values: difference of each seed.
    """
    values, mean, count = tuple(values), statistics.mean(values), len(values)
    if count < 2:
        return Difference(values, mean)
    deviation = statistics.stdev(values)
    error = deviation / math.sqrt(count)
    half = t_quantile((1 + CONFIDENCE) / 2, count - 1) * error
    p = 2 * (1 - t_share(_ratio(abs(mean), error), count - 1))
    return Difference(values, mean, deviation, (mean - half, mean + half), p)


def _ratio(mean: float, error: float) -> float:
    """t; infinite where all differences are the same, 0 where they are all 0."""
    if error:
        return mean / error
    return math.inf if mean else 0.0


def t_share(t: float, freedom: int) -> float:
    """Share of Student's distribution below t >= 0, of a whole number of degrees of freedom.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.3 and 26.7.4.
    """
    angle = math.atan2(t, math.sqrt(freedom)) if t < math.inf else math.pi / 2
    sine, cosine = math.sin(angle), math.cos(angle)
    term, total = (cosine, 0.0) if freedom % 2 else (1.0, 0.0)
    for k in range(freedom % 2 + 2, freedom + 1, 2):
        total += term
        term *= cosine ** 2 * (k - 1) / k
    within = 2 / math.pi * (angle + sine * total) if freedom % 2 else sine * total
    return (1 + within) / 2


def t_quantile(share: float, freedom: int) -> float:
    """The t below which `share`, in [0.5, 1), of Student's distribution lies; by halving an interval."""
    low, high = 0.0, 1.0
    while t_share(high, freedom) < share:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_share(middle, freedom) < share else (low, middle)
    return high


def holm(p: Sequence[float], level: float = 1 - CONFIDENCE) -> list[bool]:
    """Which of several p hold together: with all of them looked at, chance alone makes any hold in `level` of cases.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    holds, order = [False] * len(p), sorted(range(len(p)), key=lambda place: p[place])
    for rank, place in enumerate(order):
        if p[place] > level / (len(p) - rank):
            break
        holds[place] = True
    return holds
