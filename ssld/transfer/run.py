"""A transfer from its section to the exported network: what `ssld transfer` does."""
from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, Optional

from .. import build, device
from ..config import Config, flat
from ..errors import InputError, located
from ..export.card import Card, read_card
from ..export.packages import need_packages
from ..export.paddleclas import WEIGHTS
from ..export.run import export
from ..models.stages import Stages, stages_of
from ..models.zoo import build_network
from ..recipe.plan import Job
from ..recipe.run import run_recipe
from ..recipe.summary import measured
from ..timetable import Timetable
from ..train.run import CONFIG
from .configs import FINAL, SEARCH, student_options, training_config
from .draw import draw
from .final import BEST, RUNS, Row, best_of, check_baselines, final_recipe, rows_of
from .ledger import Ledger, Trial
from .lists import CLASSES, Lists, read_lists
from .plan import Transfer
from .results import Result, with_gains, write_results
from .search import RUNS as TRIALS
from .search import Halving, epochs_of, round_sizes
from .space import Space, build_space

EXPORTED = "exported"


class Prepared(NamedTuple):
    """A transfer that was checked.

    Attributes:
        plan: what the user wrote.
        card: of the student.
        space: what settings there are.
        lists: of the task.
        trial: config of a trial; None where there is a single setting.
        final: config of the runs at the end.
    """

    plan: Transfer
    card: Card
    space: Space
    lists: Lists
    trial: Optional[Config]
    final: Config


def transfer(plan: Transfer, side_by_side: int = 1, dry_run: bool = False) -> Path | None:
    """Search, train and measure the best setting, export it; the same call goes on where an interrupted one stopped.

    Args:
        plan: see `ssld.transfer.plan`.
        side_by_side: runs at a time; they share the cores.
        dry_run: check everything and say what would be run; nothing is written.

    Returns:
        transfer.json; None after a dry run.

    Raises:
        InputError: anything that the user can mend; what can be found without training is found before the first run.
    """
    prepared = prepare(plan)
    _announce(prepared)
    if dry_run:
        return None
    folder = Path(plan.output_dir)
    digests = prepared.lists.write(folder / "lists")
    prepared.final.write(folder / FINAL)
    with _alone_in(folder):
        trials = _search(prepared, digests, side_by_side) if prepared.trial else []
        best = best_of(trials) if trials else prepared.space.grid()[0]
        rows = rows_of(plan, prepared.space, prepared.final, best, trials)
        results = run_recipe(final_recipe(plan, rows, folder / FINAL), side_by_side,
                             summarise=lambda recipe, jobs: _results(rows, jobs))
        file = write_results(plan, prepared.space, prepared.lists, trials, results)
        _export(prepared)
    return file


def prepare(plan: Transfer) -> Prepared:
    """Read and check everything that a transfer names, and load the student's weights once."""
    for name in plan.also:
        need_packages(name)
    card = read_card(plan.student, [WEIGHTS])
    base = Config.load(plan.config)
    device.start("cpu")                     # of this process; its runs have devices of their own
    space = build_space(plan.search, base, _stages(plan, card), plan.use)
    check_baselines(plan, space)
    searching = space.count(plan.search) > 1
    lists = read_lists(plan, searching)
    student = student_options(plan, base.section("Arch").get("student") or {}, card, lists.class_num, lists.class_names)
    final = training_config(plan, base, student, lists, card.preprocess, final=True)
    trial = training_config(plan, base, student, lists, card.preprocess, final=False) if searching else None
    _check(final)
    return Prepared(plan, card, space, lists, trial, final)


def _check(config: Config) -> None:
    """Build what a run is made of besides its images."""
    settings = build.build_settings(config)
    build.build_terms(config)
    build.build_schedule(config, Timetable.uniform(settings.epochs, 1))
    build.build_optimizer(config, build.build_student(config), 1.0)


def _stages(plan: Transfer, card: Card) -> Stages:
    with located(plan.student):
        return stages_of(build_network(where="card.json", **card.arch))


def _announce(prepared: Prepared) -> None:
    """What is about to happen."""
    plan, space = prepared.plan, prepared.space
    new = prepared.final.section("Arch")["student"]["new_classifier"]
    print(f"{plan.student}: {prepared.card.backbone}, {'a new classifier of' if new else 'its classifier of'} "
          f"{prepared.lists.class_num} classes; multipliers: {space.remark}")
    if prepared.trial:
        count = space.count(plan.search)
        print(f"search: {count} settings, about {epochs_of(count, plan.search)} epochs in all, rungs {plan.search.rungs}")
        for setting in draw(space.candidates, round_sizes(count, plan.search.rounds)[0], plan.search.seed):
            print(f"  {setting}")
    print(f"final: {', '.join([BEST, *plan.final.baselines])} x seeds {plan.final.seeds}, {plan.search.rungs[-1]} epochs each; "
          f"output {plan.output_dir}", flush=True)


def _search(prepared: Prepared, digests: dict[str, str], side_by_side: int) -> list[Trial]:
    plan, folder = prepared.plan, Path(prepared.plan.output_dir)
    identity = {"student": prepared.card.sha256[WEIGHTS], "lists": digests, "search": asdict(plan.search),
                "config": prepared.trial.data}
    ledger = Ledger(folder, prepared.space.candidates, dict(flat(json.loads(json.dumps(identity)))))
    prepared.trial.write(folder / SEARCH)
    return Halving(plan.search, prepared.space, prepared.trial, folder / SEARCH, folder / TRIALS, ledger, side_by_side,
                   plan.processes).run()


def _results(rows: Sequence[Row], jobs: Sequence[Job]) -> list[Result]:
    """The accuracies that the runs of the end left."""
    found: dict[str, list[tuple[float, int]]] = {}
    for job in jobs:
        found.setdefault(job.stage.name, []).append(measured(job))
    return with_gains([Result(row, tuple(top1 for top1, _ in runs), runs[0][1]) for row, runs in zip(rows, found.values())])


def _export(prepared: Prepared) -> None:
    """The best setting's run of the first seed, as its training ended: nothing is chosen by the evaluation images."""
    plan, out = prepared.plan, Path(prepared.plan.output_dir)
    run = out / RUNS / BEST / f"seed{plan.final.seeds[0]}"
    names = None if prepared.lists.class_names is None else str(out / "lists" / CLASSES)
    export(Config.load(run / CONFIG), str(out / EXPORTED), str(run / "latest"), plan.use, plan.also, names)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Refuse a second transfer in one folder."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"another `ssld transfer` is at work in {folder}. Wait for it, or choose another "
                             "output_dir.") from error
        yield
