"""From measured cosines to thresholds, and the files that keep them."""
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from ..errors import InputError
from ..files import atomic_write, write_json
from .histogram import histogram_svg

TARGET_RECALL = 0.99            # of planted copies, at t_cand
TOLERATED = 0.001               # part of the other pictures that t_auto may remove
TAIL = 0.1                      # part of the other pictures that an extrapolation rests on
ENOUGH = 1000                   # other pictures that can show the tolerated rate
_CONFIDENCE = 0.95
_STEPS = 10_000                 # per unit of cosine: thresholds keep a distance of 0.5 to 1.5 steps, for rounding errors
_SHOWN = 10


class Copies(NamedTuple):
    """Planted copies, each [n]: the edit, cosine with the source, and how many references are more like the copy."""

    edit: np.ndarray
    cosine: np.ndarray
    rank: np.ndarray


class Others(NamedTuple):
    """Pictures that copy no reference, the most suspicious first: name, nearest reference and their cosine, each [n]."""

    name: Sequence[str]
    reference: Sequence[str]
    cosine: np.ndarray


@dataclass(frozen=True)
class Calibration:
    """Thresholds for one network, and what they rest on. Rates are parts in [0, 1].

    Attributes:
        embedding: name of the network.
        t_cand, t_auto: see `Options`; t_auto is None where no cosine below 1 would do.
        references: evaluation pictures that copies were looked for among.
        copies, others: planted copies, and pictures that copy nothing.
        excluded: other pictures left out because they do copy an evaluation picture; only those are checked that come
            close enough to one to decide about t_auto.
        unreadable: pictures left out because they cannot be read.
        right: copies that are more like their source than like any other reference.
        reachable: copies with their source among the best candidates, whatever its cosine.
        recall: copies whose source t_cand hands to the geometric check.
        recall_auto: copies that t_auto removes by itself.
        per_edit: edit -> {"t_cand": recall, "t_auto": recall}.
        proposed: other pictures for which t_cand asks for a geometric check.
        removed: number of other pictures that t_auto removes.
        removed_at_most: upper bound, at 95 % confidence, of the part of all such pictures that t_auto removes.
        extrapolated: t_auto rests on the tail of fewer than 1000 other pictures.
        closest: the other pictures most like a reference: [name, reference, cosine].
        cosines: "copies" and "others": what the thresholds were taken from, float [n].
    """

    embedding: str
    t_cand: float
    t_auto: Optional[float]
    references: int
    copies: int
    others: int
    excluded: int
    unreadable: int
    right: float
    reachable: float
    recall: float
    recall_auto: float
    per_edit: dict
    proposed: float
    removed: int
    removed_at_most: float
    extrapolated: bool
    closest: list
    cosines: Mapping[str, np.ndarray]

    @property
    def thresholds(self) -> dict:
        """The options that this sets: `Options(**calibration.thresholds)`."""
        return {"embedding": self.embedding, "t_cand": self.t_cand, "t_auto": self.t_auto}

    def write(self, out) -> None:
        """Write thresholds.json (for `read_thresholds`), calibration.json and calibration.svg to a folder."""
        record = asdict(self)
        cosines = record.pop("cosines")
        marks = {name: value for name, value in self.thresholds.items() if isinstance(value, float)}
        with atomic_write(Path(out) / "calibration.svg") as file:
            file.write(histogram_svg(cosines, marks, f"cosine of {self.embedding} with the nearest evaluation picture"))
        write_json(Path(out) / "calibration.json", record)
        write_json(Path(out) / "thresholds.json", self.thresholds)

    def summary(self) -> str:
        """Three lines for people."""
        auto = "never: no cosine below 1 is safe" if self.t_auto is None else (
            f"{self.t_auto}: finds {self.recall_auto:.1%} of the copies by itself, removes {self.removed} of {self.others} "
            f"other pictures (at most {self.removed_at_most:.2%}, 95 % confidence)")
        warning = f"; extrapolated, since {self.others} other pictures are fewer than {ENOUGH}" if self.extrapolated else ""
        missed = "" if self.reachable >= TARGET_RECALL else (
            f"; {TARGET_RECALL:.0%} cannot be reached, since only {self.reachable:.1%} have their source among the candidates")
        return (f"{self.copies} planted copies among {self.references} evaluation pictures, {self.others} other pictures, "
                f"{self.excluded} of them left out as copies, {self.unreadable} unreadable\n"
                f"t_cand {self.t_cand}: proposes {self.recall:.1%} of the copies, {self.proposed:.1%} of the others{missed}\n"
                f"t_auto {auto}{warning}")


def decide(embedding: str, candidates: int, references: int, copies: Copies, others: Others, excluded: int = 0,
           unreadable: int = 0) -> Calibration:
    """The thresholds that measured cosines ask for.

    Args:
        embedding: name of the network.
        candidates: references that may be checked per picture.
        references, excluded, unreadable: counts, see `Calibration`.
        copies, others: what was measured; at least one copy.
    """
    t_auto = removal_threshold(others.cosine)
    t_cand = candidate_threshold(copies, candidates)
    t_cand = t_cand if t_auto is None else min(t_cand, t_auto)
    found = (copies.rank < candidates) & (copies.cosine >= t_cand)
    alone = copies.cosine >= (np.inf if t_auto is None else t_auto)
    removed = 0 if t_auto is None else int((others.cosine >= t_auto).sum())
    per_edit = {str(edit): {"t_cand": _part(found[copies.edit == edit]), "t_auto": _part(alone[copies.edit == edit])}
                for edit in dict.fromkeys(copies.edit)}
    count = len(others.cosine)
    return Calibration(
        embedding, t_cand, t_auto, references, len(copies.cosine), count, excluded, unreadable,
        _part(copies.rank == 0), _part(copies.rank < candidates), _part(found), _part(alone), per_edit,
        _part(others.cosine >= t_cand), removed, 0.0 if t_auto is None else min(1.0, upper_bound(removed) / count),
        t_auto is not None and count < ENOUGH,
        [[name, reference, round(float(c), 6)] for name, reference, c in list(zip(*others))[:_SHOWN]],
        {"copies": copies.cosine, "others": others.cosine})


def candidate_threshold(copies: Copies, candidates: int) -> float:
    """The largest cosine that proposes 99 % of the copies: of all, or else of those within reach of `candidates`."""
    within = np.sort(copies.cosine[copies.rank < candidates])[::-1]
    if not len(within):
        return 1.0
    wanted = math.ceil(TARGET_RECALL * len(copies.cosine))
    if wanted > len(within):
        wanted = math.ceil(TARGET_RECALL * len(within))
    return max(-1.0, _below(float(within[wanted - 1])))


def removal_threshold(cosines: np.ndarray) -> Optional[float]:
    """The smallest cosine that removes at most 0.1 % of the other pictures; None where it would have to be 1.

    Of fewer than 1000 pictures none may be removed, and an exponential tail goes on from the largest tenth:

        t = u + mean(x - u for x > u) * ln(0.1 / 0.001),   u = the cosine that a tenth exceeds

    Args:
        cosines: of each picture with its nearest reference, [n], in falling order.

    Source: Pickands, "Statistical Inference Using Extreme Order Statistics", Annals of Statistics 3 (1975).
    """
    count = len(cosines)
    if count < 2:
        return None
    threshold = _above(float(cosines[int(TOLERATED * count)]))
    if count < ENOUGH:
        beyond = tail_size(count)
        start = float(cosines[beyond])
        excess = float(np.mean(cosines[:beyond])) - start
        threshold = max(threshold, _above(start + excess * math.log(beyond / count / TOLERATED)))
    return threshold if threshold < 1 else None


def tail_size(count: int) -> int:
    """How many of so many other pictures must be known for sure to copy nothing: those a threshold is taken from."""
    return math.ceil(TAIL * count) if count < ENOUGH else int(TOLERATED * count) + 1


def upper_bound(events: int) -> float:
    """Largest mean of a Poisson number that falls to `events` or fewer with probability 5 %; 3.0 for none."""
    low, high = 0.0, 10.0 + 3 * events
    while high - low > 1e-9:
        mean = (low + high) / 2
        probability = sum(math.exp(i * math.log(mean) - mean - math.lgamma(i + 1)) for i in range(events + 1))
        low, high = (mean, high) if probability > 1 - _CONFIDENCE else (low, mean)
    return high


def read_thresholds(file) -> dict:
    """The options embedding, t_cand and t_auto in a thresholds.json, for `Options(**...)`.

    Raises:
        InputError: no such file, or something else in it.
    """
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
        return {"embedding": str(found["embedding"]), "t_cand": float(found["t_cand"]),
                "t_auto": None if found["t_auto"] is None else float(found["t_auto"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} holds no thresholds ({type(error).__name__}: {error}). Give the thresholds.json that a "
                         "calibration wrote.") from error


def _above(cosine: float) -> float:
    return (math.floor(cosine * _STEPS + 0.5) + 1) / _STEPS


def _below(cosine: float) -> float:
    return (math.ceil(cosine * _STEPS - 0.5) - 1) / _STEPS


def _part(mask: np.ndarray) -> float:
    return float(np.mean(mask)) if len(mask) else 0.0
