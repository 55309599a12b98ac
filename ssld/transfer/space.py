"""What a search chooses from: sets of multipliers by name, learning rates, l2; and what a choice changes in a config."""
from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional, Union

from ..checks import not_negative, numbers, one_of, positive
from ..config import Config
from ..errors import InputError, located
from ..export.multipliers import multipliers as published_multipliers
from ..models.stages import Stages
from ..registry import check_keys
from .plan import GRID, Search

ONES = "ones"
_RATE = "Optimizer.lr.learning_rate"


class Range(NamedTuple):
    """All values between two, which are drawn evenly on a logarithmic scale."""

    low: float
    high: float


Candidates = Union[list, Range]


class Setting(NamedTuple):
    """One choice.

    Attributes:
        multipliers: name of the set, see Space.
        learning_rate: as written, for the classifier.
        l2: coefficient; None: what the optimizer does by itself.
    """

    multipliers: str
    learning_rate: float
    l2: Optional[float]

    def __str__(self) -> str:
        l2 = "" if self.l2 is None else f", l2 {self.l2:.3g}"
        return f"{self.multipliers}, rate {self.learning_rate:.3g}{l2}"


class Space(NamedTuple):
    """What is chosen from.

    Attributes:
        multipliers: names of sets.
        learning_rate, l2: see Setting.
        sets: name -> a factor for each stage; of those chosen from, and of all that have a name.
        remark: where the named sets come from.
    """

    multipliers: list[str]
    learning_rate: Candidates
    l2: Candidates
    sets: dict[str, tuple[float, ...]]
    remark: str = ""

    @property
    def candidates(self) -> dict[str, Candidates]:
        """Part of a Setting -> what it is chosen from."""
        return {"multipliers": self.multipliers, "learning_rate": self.learning_rate, "l2": self.l2}

    def grid(self) -> list[Setting] | None:
        """All choices; None where a range has endlessly many."""
        if any(isinstance(values, Range) for values in self.candidates.values()):
            return None
        return [Setting(*values) for values in itertools.product(*self.candidates.values())]

    def count(self, search: Search) -> int:
        """How many settings a search tries.

        Raises:
            InputError: all of a range, or more than there are.
        """
        grid = self.grid()
        if search.trials == GRID and grid is None:
            raise InputError("trials: grid tries all values, and a range '{low, high}' has endlessly many. List them, or set "
                             "trials to a number.")
        if search.trials == GRID:
            return len(grid)
        return search.trials if grid is None else min(search.trials, len(grid))


def build_space(search: Search, config: Config, stages: Stages, use: str) -> Space:
    """The candidates of a search, checked.

    Args:
        search: what the user wrote.
        config: of the training; says what is not searched.
        stages: of the student.
        use: classification or detection.

    Raises:
        InputError: a set that does not exist, a list of the wrong length, a negative factor, rate or coefficient.
    """
    optimizer = config.section("Optimizer")
    sets, remark = named_sets(stages, use)
    rate = search.learning_rate or [(optimizer.get("lr") or {}).get("learning_rate")]
    l2 = search.l2 or [_l2_of(optimizer)]
    chosen = _choose(search.multipliers or list(sets), sets, stages)
    return Space(list(chosen), _candidates("learning_rate", rate, positive),
                 l2 if l2 == [None] else _candidates("l2", l2, not_negative), {**sets, **chosen}, remark)


def named_sets(stages: Stages, use: str) -> tuple[dict[str, tuple[float, ...]], str]:
    """Sets of multipliers by name, and where the first one comes from.

    `published` is the list of SSLD where there is one for the family; else `rising` goes from 0.25 at the input to 0.75.
    `half` and `double` are that list times 0.5 and 2, `ones` are all 1.
    """
    groups = len(stages.groups)
    values, remark = published_multipliers(stages.family, groups, use)
    name = "published"
    if all(value == 1 for value in values):
        name, values = "rising", [round(0.25 + 0.5 * place / max(groups - 1, 1), 3) for place in range(groups)]
        remark = f"nothing is published for {stages.family}"
    scaled = {name: 1, "half": 0.5, "double": 2}
    return {**{each: tuple(round(value * factor, 6) for value in values) for each, factor in scaled.items()},
            ONES: (1.0,) * groups}, remark


def changes(setting: Setting, space: Space, config: Config) -> dict:
    """Dotted key -> value: what a setting is in the config of a run."""
    found = {"Arch.student.lr_mult_list": list(space.sets[setting.multipliers]), _RATE: setting.learning_rate}
    if setting.l2 is not None:
        coupled = "regularizer" in config.section("Optimizer")
        found["Optimizer.regularizer.coeff" if coupled else "Optimizer.weight_decay"] = setting.l2
    return found


def _l2_of(optimizer: Mapping) -> float | None:
    """The coefficient in either of the two spellings; None where the config has none."""
    return (optimizer.get("regularizer") or {}).get("coeff", optimizer.get("weight_decay"))


def _choose(wanted: Sequence, sets: Mapping[str, tuple], stages: Stages) -> dict[str, tuple[float, ...]]:
    """The sets that are wanted, by name or as lists; of those that agree in all factors the first."""
    chosen: dict[str, tuple[float, ...]] = {}
    for entry in wanted:
        if isinstance(entry, str):
            name, values = entry, one_of(f"multipliers ({stages.family})", entry, sets)
        else:
            values = _checked(entry, stages)
            name = " ".join(f"{value:g}" for value in values)
        if values not in chosen.values():
            chosen[name] = values
    return chosen


def _checked(values, stages: Stages) -> tuple[float, ...]:
    count = len(stages.groups)
    try:
        values = numbers("a list of multipliers", values, count)
    except InputError as error:
        raise InputError(f"{error} {stages.family} has {count} stages, input side first: "
                         f"{'; '.join(' '.join(prefixes) or 'none' for prefixes in stages.groups)}.") from error
    for value in values:
        not_negative(f"each multiplier of {values}", value)
    return tuple(map(float, values))


def _candidates(name: str, value, check) -> Candidates:
    """A list of checked values without repetitions, or a range."""
    if isinstance(value, Mapping):
        check_keys(value, Range._fields, name)
        with located(name):
            bounds = Range(*(positive(key, value.get(key)) for key in Range._fields))
        if not bounds.low < bounds.high < math.inf:
            raise InputError(f"{name}: low must be below high, not {bounds.low} and {bounds.high}.")
        return Range(*map(float, bounds))
    for entry in value:
        check(f"each {name}", entry)
    return list(dict.fromkeys(map(float, value)))
