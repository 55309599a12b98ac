"""Running the jobs of a recipe: each a process of its own, several side by side, none twice."""
from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from dedup.files import write_json

from ..checks import positive_int
from ..config import Config
from ..errors import InputError
from ..progress import duration
from .plan import Job, Recipe, jobs_of
from .summary import write_summary

Summary = TypeVar("Summary")
_SHOWN = 15                                 # last lines of the log of a job that failed


def run_recipe(recipe: Recipe, side_by_side: int = 1, dry_run: bool = False,
               summarise: Callable[[Recipe, Sequence[Job]], Summary] = write_summary) -> Summary | None:
    """Run what is not done yet; the same call goes on where an interrupted one stopped.

    Args:
        recipe: see `ssld.recipe.plan`.
        side_by_side: jobs at a time; they share the cores.
        dry_run: print the commands and run none.
        summarise: looks at what came out when all jobs are through.

    Returns:
        What `summarise` returns, by default the summary's JSON file; None after a dry run.

    Raises:
        InputError: a config cannot be read, or a job failed; its log is named and its last lines are shown.
    """
    positive_int("jobs", side_by_side)
    jobs = jobs_of(recipe)
    plans = {job.name: plan_of(job) for job in jobs}        # reads every config before the first job starts
    done = _done(recipe, plans)
    if dry_run:
        for job in jobs:
            print(f"{'done  ' if job.name in done else ''}ssld {shlex.join(job.arguments)}")
        return None
    _Runner(recipe, jobs, plans, done, side_by_side).run()
    return summarise(recipe, jobs)


class _Runner:
    """Starts each job when what it needs is through and there is room."""

    def __init__(self, recipe: Recipe, jobs: Sequence[Job], plans: dict[str, str], done: set[str], side_by_side: int):
        self.recipe, self.plans, self.done, self.side_by_side = recipe, plans, done, side_by_side
        self.left = [job for job in jobs if job.name not in done]
        self.total, self.began = len(jobs), time.monotonic()
        self.first = len(done)

    def run(self) -> None:
        running: dict = {}
        with ThreadPoolExecutor(self.side_by_side) as pool:
            try:
                while self.left or running:
                    for job in self._ready()[:self.side_by_side - len(running)]:
                        self.left.remove(job)
                        print(f"started {job.name}", flush=True)
                        running[pool.submit(self._run_job, job)] = job
                    finished, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in finished:
                        self._note(running.pop(future), future.result())
            except InputError:
                self._say_what_still_runs(running)
                raise

    def _ready(self) -> list[Job]:
        return [job for job in self.left if self.done.issuperset(job.needs)]

    def _run_job(self, job: Job) -> float:
        """Run one job to its end; returns the seconds that it took."""
        began = time.monotonic()
        run_logged(job.name, _command(self.recipe, job), environment(self.side_by_side), _log_file(self.recipe, job))
        seconds = time.monotonic() - began
        write_json(_mark(self.recipe, job.name), {"plan": self.plans[job.name], "seconds": round(seconds, 1)})
        return seconds

    def _note(self, job: Job, seconds: float) -> None:
        self.done.add(job.name)
        now = len(self.done) - self.first
        left = (time.monotonic() - self.began) / now * (self.total - len(self.done))
        print(f"{len(self.done)}/{self.total} {job.name} took {duration(seconds)}, about {duration(left)} left", flush=True)

    def _say_what_still_runs(self, running: dict) -> None:
        if running:
            print(f"waiting for {', '.join(job.name for job in running.values())}", file=sys.stderr, flush=True)


def run_logged(name: str, command: Sequence[str], variables: Mapping[str, str], log: Path) -> None:
    """Run a command to its end; what it prints is appended to `log`.

    Args:
        name: how the error calls it.
        command: program and arguments.
        variables: its environment, see `environment`.
        log: file.

    Raises:
        InputError: it failed; the end of the log is shown.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as out:
        # the child holds it as well: one that outlived a killed program is waited for, lest two write into one run
        fcntl.flock(out, fcntl.LOCK_EX)
        status = subprocess.run(command, env=variables, stdout=out, stderr=subprocess.STDOUT).returncode
    if status:
        lines = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-_SHOWN:])
        raise InputError(f"{name} ended with status {status}. The last lines of {log}:\n{lines}\nMend the cause; the same "
                         "command goes on from there.")


def config_of(job: Job, show_native: bool = True) -> Config:
    """The config of a job with its settings."""
    return Config.load(job.stage.config, overrides_of(job), show_native)


def overrides_of(job: Job) -> list[str]:
    """Its settings, "key=value" each."""
    return [job.arguments[i + 1] for i, argument in enumerate(job.arguments) if argument == "-o"]


def plan_of(job: Job) -> str:
    """A digest of what a job does: its arguments and the content of its config."""
    text = config_of(job).to_yaml() + json.dumps(job.arguments)
    return hashlib.sha256(text.encode()).hexdigest()


def finished(recipe: Recipe) -> set[str]:
    """Names of the jobs that are through, and did what the recipe and its configs say now."""
    return _done(recipe, {job.name: plan_of(job) for job in jobs_of(recipe)})


def _done(recipe: Recipe, plans: Mapping[str, str]) -> set[str]:
    return {name for name, plan in plans.items() if _plan_in(_mark(recipe, name)) == plan}


def _plan_in(mark: Path) -> str | None:
    """What the job did that left this file; None if there is none, or not a whole one."""
    try:
        return json.loads(mark.read_text())["plan"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _mark(recipe: Recipe, name: str) -> Path:
    """The file that says that the job of this name is through."""
    return Path(recipe.output_dir) / "done" / f"{name.replace('/', '_')}.json"


def _log_file(recipe: Recipe, job: Job) -> Path:
    return Path(recipe.output_dir) / "logs" / f"{job.name.replace('/', '_')}.log"


def _command(recipe: Recipe, job: Job) -> list[str]:
    """The command line of a job."""
    package = Path(__file__).resolve().parents[1]
    if recipe.processes > 1 and job.stage.command == "train":
        return [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", str(recipe.processes), "--log_dir",
                str(_log_file(recipe, job).with_suffix("")), str(package / "__main__.py"), *job.arguments]
    return [sys.executable, "-m", "ssld", *job.arguments]


def environment(side_by_side: int) -> dict[str, str]:
    """Variables with which so many jobs at a time find this package and share the cores."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    share = {"OPENBLAS_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // side_by_side))} if side_by_side > 1 else {}
    return {**os.environ, "PYTHONPATH": path, **share}
