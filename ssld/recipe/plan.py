"""The section Recipe: which commands run on which configs, for which seeds, and what each waits for."""
from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional

from ..checks import one_of, positive_int
from ..config import Config
from ..errors import InputError, located
from ..registry import check_arguments, nearest

COMMANDS = ("train", "expand", "soft-labels", "eval")
WITHOUT_ACCURACY = ("expand", "soft-labels")
RESULT = "evaluation.json"                  # what an `eval` stage writes into its folder
_REFERENCE = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Stage:
    """One command of a recipe.

    Attributes:
        name: of its folder, and how other stages refer to it: "{name}" in `set` and `weights` is that folder.
        config: YAML of the command, relative to the recipe's file.
        command: train, expand, soft-labels or eval.
        set: settings of the config to change, dotted key -> value; "{seed}" is the number of the seed.
        weights: of an eval stage, which weights to measure, such as "{distill}/latest".
        once: run for the first seed only; the stages of all seeds share what it left.
        inside: an earlier stage in whose folder this one writes, as a second selection of `expand` from the same scores.
        title: how tables and plots call it; default: the name. A stage without accuracy needs none.
        compare: stage whose accuracy this one's is compared with, seed by seed.
        published: what the literature reports for this step, shown beside the result.
    """

    name: str
    config: str
    command: str = "train"
    set: Mapping = field(default_factory=dict)
    weights: Optional[str] = None
    once: bool = False
    inside: Optional[str] = None
    title: str = ""
    compare: Optional[str] = None
    published: str = ""

    def __post_init__(self):
        if not re.fullmatch(r"[\w.-]+", str(self.name)) or self.name == "seed":
            raise InputError(f"name must consist of letters, digits, '.', '-' and '_', and not be 'seed': {self.name!r}.")
        one_of("command", self.command, COMMANDS)
        if (self.weights is not None) != (self.command == "eval"):
            raise InputError(f"stage '{self.name}': 'weights' belongs to the command eval, which needs it.")
        if not isinstance(self.set, Mapping):
            raise InputError(f"stage '{self.name}': set must hold 'Dotted.key: value' settings, not {self.set!r}.")


@dataclass(frozen=True)
class Recipe:
    """What a recipe's file says.

    Attributes:
        output_dir: one folder per stage and seed, logs, and the summary.
        stages: in order; a stage may refer to earlier ones only.
        seeds: every stage that is not `once` runs for each of them.
        processes: with more than one, training stages run under paddle.distributed.launch.
        title: of the plot.
    """

    output_dir: str
    stages: tuple[Stage, ...]
    seeds: tuple[int, ...] = (0,)
    processes: int = 1
    title: str = "Ladder"

    def __post_init__(self):
        if any(not isinstance(seed, int) or isinstance(seed, bool) or seed < 0 for seed in self.seeds):
            raise InputError(f"seeds must be whole numbers of at least 0, not {list(self.seeds)}.")
        if len(set(self.seeds)) < len(self.seeds):
            raise InputError(f"seeds must differ from one another: {list(self.seeds)}.")
        positive_int("processes", self.processes)
        _check_references(self)


class Job(NamedTuple):
    """A stage for one seed.

    Attributes:
        name: "stage" or "stage/seed1".
        stage, seed: what it is; seed is None for a stage that runs once.
        folder: where its command writes.
        arguments: of ssld, from the command on.
        needs: names of the jobs that must be through before.
    """

    name: str
    stage: Stage
    seed: Optional[int]
    folder: Path
    arguments: tuple[str, ...]
    needs: tuple[str, ...]


def read_recipe(config: Config) -> Recipe:
    """The section Recipe of a config.

    Raises:
        InputError: a key or reference that does not exist, two stages of one name, or no stage at all.
    """
    config.check_sections(["Recipe"])
    section, where = config.section("Recipe"), config.where("Recipe")
    check_arguments(Recipe, section, where)
    stages = read_stages(config, "Recipe", "stages", section.pop("stages"))
    seeds = tuple(filled_list(section.pop("seeds", [0]), f"{where}.seeds"))
    with located(where):
        return Recipe(stages=stages, seeds=seeds, **section)


def read_stages(config: Config, section: str, key: str, entries) -> tuple[Stage, ...]:
    """Stages as a section lists them; their configs are relative to its file.

    Raises:
        InputError: no list, or an entry that is no stage.
    """
    return tuple(_stage(entry, config.where(section, key, place), Path(config.file).parent)
                 for place, entry in enumerate(filled_list(entries, config.where(section, key))))


def filled_list(value, where: str) -> Sequence:
    """`value` if it is a list that is not empty."""
    if not isinstance(value, list) or not value:
        raise InputError(f"{where} must be a list with at least one entry, not {value!r}.")
    return value


def jobs_of(recipe: Recipe) -> list[Job]:
    """Every stage for every seed, in an order in which each comes after what it needs."""
    return [_job(recipe, stage, seed) for stage in recipe.stages for seed in ((None,) if stage.once else recipe.seeds)]


def _job(recipe: Recipe, stage: Stage, seed: int | None) -> Job:
    root, number = Path(recipe.output_dir), recipe.seeds[0] if seed is None else seed
    jobs = {other.name: _job_name(other, None if other.once else number) for other in recipe.stages}
    folders: dict[str, Path] = {}
    for other in recipe.stages:
        folders[other.name] = folders[other.inside] if other.inside else root / jobs[other.name]
    meanings, folder = {"seed": str(number), **folders}, folders[stage.name]

    def filled(value):
        return _REFERENCE.sub(lambda found: str(meanings[found[1]]), value) if isinstance(value, str) else value

    settings = {"Global.output_dir": str(folder), "Global.seed": number, **{k: filled(v) for k, v in stage.set.items()}}
    arguments = [stage.command, "-c", stage.config]
    for key, value in settings.items():
        arguments += ["-o", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]       # JSON is YAML
    if stage.command == "eval":
        arguments += ["--weights", filled(stage.weights), "--json", str(folder / RESULT)]
    needs = tuple(jobs[name] for name in _references(stage))
    return Job(_job_name(stage, seed), stage, seed, folder, tuple(arguments), needs)


def _job_name(stage: Stage, seed: int | None) -> str:
    return stage.name if stage.once else f"{stage.name}/seed{seed}"


def _stage(entry, where: str, folder: Path) -> Stage:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where}: expected a stage such as '{{name: distill, config: distill.yaml}}', found {entry!r}.")
    check_arguments(Stage, entry, where)
    with located(where):
        return Stage(**{**entry, "config": str(folder / entry["config"])})


def _references(stage: Stage) -> list[str]:
    """Names of the stages that `set` and `weights` refer to."""
    texts = [value for value in (*stage.set.values(), stage.weights) if isinstance(value, str)]
    return sorted({name for text in [*texts, f"{{{stage.inside or 'seed'}}}"] for name in _REFERENCE.findall(text)} - {"seed"})


def _check_references(recipe: Recipe) -> None:
    earlier: dict[str, Stage] = {}
    for stage in recipe.stages:
        if stage.name in earlier:
            raise InputError(f"two stages are called '{stage.name}'.")
        for name in [*_references(stage), *([stage.compare] if stage.compare else [])]:
            if name not in earlier:
                raise InputError(f"stage '{stage.name}' refers to '{name}', which is no earlier stage. "
                                 f"{nearest(name, earlier)}")
        if stage.compare and earlier[stage.compare].command in WITHOUT_ACCURACY:
            raise InputError(f"stage '{stage.name}': compare names '{stage.compare}', which has no accuracy: its command is "
                             f"{earlier[stage.compare].command}.")
        once = [name for name in _references(stage) if not earlier[name].once]
        if stage.once and once:
            raise InputError(f"stage '{stage.name}' runs once, but refers to '{once[0]}', which runs for each seed.")
        earlier[stage.name] = stage
