"""The whole road in a few minutes: photographs -> teacher -> curation -> distillation -> fix -> export -> report.

Every stage is an ordinary `ssld` command on an ordinary config; what is printed before each can be typed by hand.
"""
from __future__ import annotations

import json
import shlex
import time
from pathlib import Path
from typing import NamedTuple

from dedup.files import atomic_write

from ..config import Config
from ..errors import InputError
from ..progress import duration
from ..report.ladder import gain, read_run
from ..report.settings import read_settings
from .photographs import make_task

CONFIGS = Path("configs") / "Distillation" / "tiny"     # in a clone: the one that ssld runs from, or the working folder
_WRITTEN_OUT = "demo_output"            # the output folder that the configs name


class Stage(NamedTuple):
    """One command of the road.

    Attributes:
        title: what a reader sees.
        command: of ssld.
        config: its YAML in configs/Distillation/tiny, without the ending.
        share: rough part of the whole time, to tell how much is left before anything was measured.
    """

    title: str
    command: str
    config: str
    share: float


ROAD = (
    Stage("a teacher, supervised on the labelled list", "train", "teacher", 0.24),
    Stage("the student by itself, supervised on the labelled list", "train", "supervised", 0.13),
    Stage("the student taught on the labelled list", "train", "distill_labelled", 0.13),
    Stage("curation: remove copies, score, select, merge", "expand", "expand", 0.1),
    Stage("as many pool images drawn at random, to compare with", "expand", "expand_random", 0.01),
    Stage("the student taught on labelled + random pool images", "train", "distill_random", 0.13),
    Stage("the student taught on labelled + selected pool images", "train", "distill", 0.13),
    Stage("finetune: the labelled list again", "train", "finetune", 0.04),
    Stage("fix: the classifier alone at the larger test resolution", "train", "fixres", 0.05),
    Stage("export: the student alone", "export", "fixres", 0.01),
    Stage("report", "report", "report", 0.03),
)


def run_demo(out: str | Path, run_command, seed: int = 0) -> Path:
    """Walk the whole road; returns the path of the report.

    Args:
        out: folder for everything; a demo that was interrupted goes on where it stopped.
        run_command: runs one command line of ssld (a list of arguments) and returns its exit status.
        seed: of the photographs' split and of all training.

    Raises:
        InputError: a stage failed, or the configs are not there.
    """
    out = Path(out)
    configs = _write_configs(_shipped_configs(), out, seed)
    began = time.monotonic()
    print(f"== the task: patches of photographs, under {out / 'task'}", flush=True)
    summary = make_task(out / "task", seed)
    print("   " + ", ".join(f"{count} {name}" for name, count in summary.counts.items()), flush=True)
    for number, stage in enumerate(ROAD, 1):
        elapsed, left = time.monotonic() - began, sum(s.share for s in ROAD[number - 1:])
        estimate = f", about {duration(elapsed * left / (1 - left))} left" if number > 1 else ""
        print(f"\n== {number}/{len(ROAD)} {stage.title}  ({duration(elapsed)} elapsed{estimate})", flush=True)
        argv = _arguments(stage, configs, out)
        print(f"$ ssld {shlex.join(argv)}", flush=True)
        status = run_command(argv)
        if status:
            raise InputError(f"the demo stopped at stage {number} with status {status}; see above. The same command goes on "
                             "from there.")
    print(f"\n{ladder_table(configs / 'report.yaml')}\n\nwhole road: {duration(time.monotonic() - began)}, seed {seed}\n"
          f"report: {out / 'report.html'}", flush=True)
    return out / "report.html"


def ladder_table(config_file: Path) -> str:
    """The runs of a report's config as text: accuracy with its standard error, and the change from rung to rung."""
    lines, before = [f"{'':17}{'top-1':>16}{'change':>10}{'steps':>8}"], None
    for run in map(read_run, read_settings(Config.load(config_file)).rungs):
        change = f"{gain(before, run).points:+.1f}" if before and not run.rung.reference else ""
        lines.append(f"{run.name:17}{100 * run.top1:9.1f} ± {100 * run.error:.1f} %{change:>9}{run.steps:8}   {run.rung.note}")
        before = before if run.rung.reference else run
    return "\n".join(lines)


def _arguments(stage: Stage, configs: Path, out: Path) -> list[str]:
    argv = [stage.command, "-c", str(configs / f"{stage.config}.yaml")]
    if stage.config == "expand_random":
        report = json.loads((out / "expand" / "report.json").read_text())
        argv += ["-o", f"Select.count={report['pool']['selected']}"]
    if stage.command == "export":
        argv += ["--out", str(out / "exported"), "--weights", str(out / "runs" / "fixres" / "latest")]
    if stage.command == "report":
        argv += ["--out", str(out / "report.html")]
    return argv


def _shipped_configs() -> Path:
    """The folder of the tiny configs."""
    places = [Path(__file__).resolve().parents[2] / CONFIGS, CONFIGS]
    for place in places:
        if place.is_dir():
            return place
    raise InputError(f"the demo's configs are in none of {', '.join(map(str, places))}. Run it in a clone of the project.")


def _write_configs(shipped: Path, out: Path, seed: int) -> Path:
    """The tiny configs with this output folder and seed written in; returns their folder."""
    folder = out / "configs"
    for file in sorted(shipped.rglob("*.yaml")):
        text = file.read_text().replace(f"{_WRITTEN_OUT}/", f"{out.as_posix()}/").replace("seed: 0", f"seed: {seed}")
        with atomic_write(folder / file.relative_to(shipped)) as target:
            target.write(text)
    return folder
