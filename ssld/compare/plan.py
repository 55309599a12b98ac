"""What a comparison is: methods (rows), recipes (columns), and the run of each pair as a stage of `ssld.recipe`."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from ..checks import not_negative, positive_int
from ..errors import InputError
from ..recipe.plan import Recipe, Stage
from ..registry import options_of

_TEACHER = "Arch.teacher"


@dataclass(frozen=True)
class Column:
    """A recipe: how the student is trained, whatever it learns from.

    Attributes:
        name: of folders, and how methods refer to it.
        config: YAML of the run, relative to the comparison's file; its losses are replaced.
        task: the loss on labels, such as {CELoss: {weight: 1.0}}.
        title: of tables and plots; default: the name.
        set: settings of the config to change, dotted key -> value.
    """

    name: str
    config: str
    task: Mapping
    title: str = ""
    set: Mapping = field(default_factory=dict)

    def __post_init__(self):
        _check_name(self.name)
        object.__setattr__(self, "title", self.title or self.name)
        _check_loss("task", self.task)
        _check_set(self.set)


@dataclass(frozen=True)
class Row:
    """A method: what the student learns from.

    Attributes:
        name: of folders.
        losses: beside the task's, as in Loss.Train; may be empty.
        task: replaces the recipe's.
        task_weight: factor of the task's weight; 0 leaves the labels out.
        teacher: whether there is one.
        title: of tables and plots; default: the name.
        set: settings of the config to change, dotted key -> value.
        recipes: recipe -> what of losses, task, task_weight, teacher and set differs under it; null: it is not run there.
    """

    name: str
    losses: Sequence
    task: Mapping | None = None
    task_weight: float = 1.0
    teacher: bool = True
    title: str = ""
    set: Mapping = field(default_factory=dict)
    recipes: Mapping = field(default_factory=dict)

    def __post_init__(self):
        _check_name(self.name)
        object.__setattr__(self, "title", self.title or self.name)
        not_negative("task_weight", self.task_weight)
        if not isinstance(self.losses, list):
            raise InputError(f"losses must be a list such as [{{KDLoss: {{weight: 1.0}}}}], not {self.losses!r}.")
        for loss in self.losses:
            _check_loss("an entry of losses", loss)
        if self.task is not None:
            _check_loss("task", self.task)
        _check_set(self.set)

    def under(self, column: Column) -> Row | None:
        """The method as it is under a recipe; None where it is not run."""
        other = self.recipes.get(column.name, {})
        return None if other is None else replace(self, **other)


@dataclass(frozen=True)
class Timing:
    """How the time of a step is measured.

    Attributes:
        rounds: over all cells; what counts is the median of them.
        steps: timed in each round; their mean counts.
        warm_up: steps before these.
    """

    rounds: int = 3
    steps: int = 30
    warm_up: int = 5

    def __post_init__(self):
        for name in ("rounds", "steps", "warm_up"):
            positive_int(name, getattr(self, name))


class Cell(NamedTuple):
    """A method under a recipe.

    Attributes:
        column: the recipe.
        row: the method, as it is under that recipe.
    """

    column: Column
    row: Row

    @property
    def name(self) -> str:
        """Of the stage that trains it; folders and logs carry it."""
        return f"{self.column.name}.{self.row.name}"

    @property
    def losses(self) -> list[dict]:
        """Loss.Train: the task, unless it weighs nothing, and the method's losses."""
        (name, options), = (self.row.task or self.column.task).items()
        options = dict(options or {})
        options["weight"] = options.get("weight", 1.0) * self.row.task_weight
        return [*([{name: options}] if self.row.task_weight else []), *self.row.losses]

    def stage(self, shared: Mapping) -> Stage:
        """The run of it; `shared` are settings of all cells, before which those of the recipe and of the method come."""
        settings = {**shared, **self.column.set, **self.row.set, "Loss.Train": self.losses}
        if not self.row.teacher:
            settings = {key: value for key, value in settings.items() if not f"{key}.".startswith(f"{_TEACHER}.")}
            settings[_TEACHER] = None
        return Stage(self.name, self.column.config, set=settings, title=f"{self.row.title}, {self.column.title}")


class Comparison(NamedTuple):
    """What a comparison's file says.

    Attributes:
        columns, rows: recipes and methods.
        cells: the pairs that are run, recipe after recipe.
        recipe: all runs in order: what comes before, then a stage for each cell.
        reference: name of the method that the others are measured against; None: against none.
        timing: of steps, when all runs are through; None: not at all.
        file: that says it.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    recipe: Recipe
    reference: str | None
    timing: Timing | None
    file: str


def _check_name(name) -> None:
    if not re.fullmatch(r"[\w-]+", str(name)):
        raise InputError(f"name must consist of letters, digits, '-' and '_', since folders carry it: {name!r}.")


def _check_loss(what: str, loss) -> None:
    if not isinstance(loss, Mapping) or len(loss) != 1:
        raise InputError(f"{what} must be one loss such as {{CELoss: {{weight: 1.0}}}}, not {loss!r}.")
    (name, options), = loss.items()
    not_negative(f"weight of {name}", options_of(options, what).get("weight", 1.0))


def _check_set(settings) -> None:
    if not isinstance(settings, Mapping):
        raise InputError(f"set must hold 'Dotted.key: value' settings, not {settings!r}.")
