"""From the section Compare of a config to a comparison."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..config import Config
from ..errors import InputError, located
from ..recipe.plan import Recipe, filled_list, read_stages
from ..registry import check_arguments, check_keys, nearest, options_of
from .plan import Cell, Column, Comparison, Row, Timing

_MAY_DIFFER = ("losses", "task", "task_weight", "teacher", "set")           # of a method, from recipe to recipe


@dataclass(frozen=True)
class _Section:
    """The keys of Compare.

    Attributes:
        output_dir: one folder per cell and seed, logs, and the results.
        recipes, methods: columns and rows.
        title: of table and plot.
        seeds: every cell runs for each of them.
        processes: with more than one, runs are distributed, see `ssld.recipe.plan.Recipe`.
        before: stages as a recipe lists them, such as the teacher.
        set: settings of all cells, in which "{teacher}" is the folder of the stage of that name; in a cell without a teacher
            those of Arch.teacher fall away.
        reference: method that the others are measured against.
        timing: of steps; null: not measured.
    """

    output_dir: str
    recipes: list
    methods: list
    title: str = "Comparison"
    seeds: Sequence = (0,)
    processes: int = 1
    before: Sequence = ()
    set: Mapping = field(default_factory=dict)
    reference: str | None = None
    timing: Mapping | None = field(default_factory=dict)


def read_comparison(config: Config) -> Comparison:
    """The section Compare of a config.

    Raises:
        InputError: anything that the user can mend, with its place.
    """
    config.check_sections(["Compare"])
    where = config.where("Compare")
    check_arguments(_Section, config.section("Compare"), where)
    section = _Section(**config.section("Compare"))
    columns = tuple(replace(column, config=str(Path(config.file).parent / column.config))
                    for column in _entries(Column, config, "recipes", section.recipes))
    rows = _entries(Row, config, "methods", section.methods)
    for place, row in enumerate(rows):
        _check_differences(row, columns, config.where("Compare", "methods", place, "recipes"))
    _check_reference(section.reference, rows, where)
    cells = tuple(Cell(column, row) for column in columns for row in (each.under(column) for each in rows) if row)
    recipe = _recipe(config, section, cells)
    return Comparison(columns, rows, cells, recipe, section.reference, _timing(section.timing, f"{where}.timing"), config.file)


def _recipe(config: Config, section: _Section, cells: Sequence[Cell]) -> Recipe:
    """All runs: what comes before, then the cells."""
    where = config.where("Compare")
    before = read_stages(config, "Compare", "before", section.before) if section.before else ()
    seeds, shared = section.seeds, options_of(section.set, f"{where}.set")
    seeds = seeds if isinstance(seeds, tuple) else tuple(filled_list(seeds, f"{where}.seeds"))
    with located(where):
        return Recipe(section.output_dir, before + tuple(cell.stage(shared) for cell in cells), seeds, section.processes,
                      section.title)


def _timing(options: Mapping | None, where: str) -> Timing | None:
    if options is None:
        return None
    options = options_of(options, where)
    check_arguments(Timing, options, where)
    with located(where):
        return Timing(**options)


def _entries(kind: type, config: Config, key: str, entries) -> tuple:
    """The entries of a list as objects of `kind`, whose names differ."""
    made: dict[str, object] = {}
    for place, entry in enumerate(filled_list(entries, config.where("Compare", key))):
        where = config.where("Compare", key, place)
        if not isinstance(entry, Mapping):
            raise InputError(f"{where}: expected 'key: value' options with a name, found {entry!r}.")
        check_arguments(kind, entry, where)
        with located(where):
            new = kind(**entry)
            if new.name in made:
                raise InputError(f"two entries of {key} are called '{new.name}'; names must differ.")
        made[new.name] = new
    return tuple(made.values())


def _check_differences(row: Row, columns: Sequence[Column], where: str) -> None:
    """What a method has for single recipes: known recipes, known options, values that fit."""
    differences = options_of(row.recipes, where)
    check_keys(differences, [column.name for column in columns], where)
    for column in columns:
        here = f"{where}.{column.name}"
        other = options_of(differences.get(column.name), here)
        check_keys(other, _MAY_DIFFER, here)
        check_arguments(Row, {"name": row.name, "losses": row.losses, **other}, here)
        with located(here):
            row.under(column)


def _check_reference(name: str | None, rows: Sequence[Row], where: str) -> None:
    names = [row.name for row in rows]
    if name is not None and name not in names:
        raise InputError(f"{where}: reference names '{name}', which is no method. {nearest(name, names)}")
