"""The best setting on all training images, beside what it is compared with, over several seeds."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from ..config import Config
from ..errors import InputError
from ..recipe.plan import Recipe, Stage
from ..registry import nearest
from .ledger import Trial
from .plan import SCRATCH, Transfer
from .space import Setting, Space, changes

RUNS, BEST = "final", "best"


class Row(NamedTuple):
    """One way to train, over all seeds.

    Attributes:
        name: of its runs.
        title: what tables and plots say.
        setting: of the student; None: from scratch.
        changes: dotted key -> value, in the config of its runs.
    """

    name: str
    title: str
    setting: Optional[Setting]
    changes: dict


def rows_of(plan: Transfer, space: Space, config: Config, best: Setting, trials: Sequence[Trial]) -> list[Row]:
    """What is trained at the end: the best setting first, then the baselines that differ from it.

    A set of multipliers as baseline takes rate and l2 of the trial that came furthest with it, and those of the best setting
    where it was not searched.

    Args:
        plan: the transfer.
        space: what was searched.
        config: of the final runs.
        best: what the search found.
        trials: all of it.

    Raises:
        InputError: a baseline that is no set of multipliers.
    """
    check_baselines(plan, space)
    rows = [Row(BEST, f"best: {best}" if trials else str(best), best, changes(best, space, config))]
    for name in plan.final.baselines:
        if name == SCRATCH:
            settings = {"Arch.student.pretrained": False, "Arch.student.new_classifier": False, **plan.final.scratch}
            rows.append(Row(SCRATCH, "from scratch", None, settings))
        else:
            setting = _furthest(name, trials, space) or best._replace(multipliers=name)
            if space.sets[name] == space.sets[best.multipliers]:
                print(f"baseline '{name}' is what the search found", flush=True)
            else:
                rows.append(Row(name, str(setting), setting, changes(setting, space, config)))
    return rows


def check_baselines(plan: Transfer, space: Space) -> None:
    """Refuse a baseline that nothing is known of."""
    for name in plan.final.baselines:
        if name != SCRATCH and name not in space.sets:
            raise InputError(f"final.baselines: there is no '{name}'. {nearest(name, [SCRATCH, *space.sets])}")


def final_recipe(plan: Transfer, rows: Sequence[Row], file: Path) -> Recipe:
    """All runs of the rows, for each seed.

    Args:
        plan: the transfer.
        rows: what is trained.
        file: where the config of these runs is written.
    """
    stages = tuple(Stage(row.name.replace(" ", "_"), str(file), set=row.changes, title=row.title) for row in rows)
    return Recipe(str(Path(plan.output_dir) / RUNS), stages, tuple(plan.final.seeds), plan.processes, plan.title)


def _furthest(name: str, trials: Sequence[Trial], space: Space) -> Setting | None:
    """The setting of the best trial with a set of multipliers; None without one."""
    own = [trial for trial in trials if trial.accuracy and space.sets[trial.setting.multipliers] == space.sets[name]]
    return best_of(own) if own else None


def best_of(trials: Sequence[Trial]) -> Setting:
    """The setting of the trial that came furthest and had the most there; of equal ones the first.

    Raises:
        InputError: all trials diverged.
    """
    measured = [trial for trial in trials if trial.accuracy]
    if not measured:
        raise InputError(f"all {len(trials)} trials diverged. Search among smaller learning rates, in another output_dir.")
    return max(measured, key=_standing).setting


def _standing(trial: Trial) -> tuple[int, float]:
    epochs = max(trial.accuracy)
    return epochs, trial.accuracy[epochs]
