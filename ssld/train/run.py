"""A training run from its config: what `ssld train` and `ssld eval` do."""
from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from paddle import nn

from dedup.files import write_json

from .. import build, device
from ..build_stored import check_stored_teacher
from ..build_teacher import check_teacher
from ..config import Config, flat
from ..describe.announcement import announcement
from ..errors import InputError
from ..models.weights import load_weights
from ..students import one_student, students_of
from ..teachers.engines import make_engine
from ..teachers.record import FILE as RECORD
from ..teachers.record import TeacherRecord, refuse_another_teacher
from ..teachers.stored import StoredTeacher
from .checkpoint import latest_checkpoint
from .evaluate import Evaluation
from .loop import fit
from .trainer import Trainer

CONFIG = "config.yaml"
# may differ when a run goes on
_FREE = ("device", "print_batch_step", "keep_checkpoints", "use_visualdl", "stop_after_epoch")


def train(config: Config, dry_run: bool = False, restart: bool = False) -> Path | None:
    """Run the training that `config` describes; an interrupted one goes on from its last checkpoint.

    Args:
        config: see `ssld.build`.
        dry_run: build everything and stop before the first step.
        restart: discard what an earlier run left in output_dir.

    Returns:
        output_dir/latest, or output_dir where there are several students; None after a dry run.

    Raises:
        InputError: anything in config, lists, weights or output_dir that the user can mend.
    """
    runs = students_of(config)
    device.start(build.build_settings(next(iter(runs.values()))).device)
    for alone in runs.values():
        folder = _folder(alone)
        if restart and not dry_run:
            _discard(folder)
        _same_run_or_none(alone, folder)
    trainers = build.build_trainers(config)
    for alone, trainer in zip(runs.values(), trainers):
        if device.is_main():
            _announce(alone, trainer)
    records = _check_teacher(list(runs.values()), trainers) if trainers[0].model.teacher else []
    if dry_run:
        return None
    for record in records:
        record.write()
    if device.is_main():
        for alone in runs.values():
            alone.write(_folder(alone) / CONFIG)
    before = [trainer.model.frozen and trainer.model.frozen.fingerprint() for trainer in trainers]
    latest = fit(trainers)
    for trainer, fingerprint in zip(trainers, before):
        if trainer.model.frozen and trainer.model.frozen.fingerprint() != fingerprint:
            raise RuntimeError("tensors outside `trainable` have changed; please report this")
    if device.is_main():
        for trainer, file in zip(trainers, latest):
            _say_what_was_written(trainer, file)
    return latest[0] if len(latest) == 1 else _folder(config)


def evaluate_weights(config: Config, weights: str | None = None, engine: str = "auto",
                     json_file: str | None = None) -> Evaluation:
    """Measure a student on DataLoader.Eval.

    Args:
        config: of the run that trained it, or any with the same student.
        weights: file or checkpoint; by default the best of the run, or its latest.
        engine: see `ssld.teachers.engines`.
        json_file: where to write the result as well.
    """
    network, file = trained_student(config, weights)
    evaluation = build.evaluator(config)(make_engine(network, engine))
    if device.is_main():
        print(f"{file}: {evaluation}", flush=True)
        if json_file:
            write_json(json_file, {"weights": str(file), **evaluation._asdict()})
    return evaluation


def _discard(folder: Path) -> None:
    """Remove what an earlier run left; no process goes on before that is done."""
    if device.is_main():
        for name in (CONFIG, RECORD, "best", "latest"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    device.wait_for_all()


def trained_student(config: Config, weights: str | None = None) -> tuple[nn.Layer, Path]:
    """The student with the weights of its run, and the file they came from.

    Args:
        config: of the run.
        weights: file or checkpoint; by default the best of the run, or its latest.

    Raises:
        InputError: the run has no checkpoint, or the weights do not fit.
    """
    one_student(config)
    settings = build.build_settings(config)
    device.start(settings.device)
    if weights is None:
        candidates = [Path(settings.output_dir) / name for name in ("best", "latest")]
        weights = next((path for path in candidates if path.exists()), None)
        if weights is None:
            raise InputError(f"{settings.output_dir} holds no checkpoint. Train first, or give --weights.")
    network = build.build_student(config, load=False)
    return network, load_weights(network, weights, part="student")


def _check_teacher(configs: Sequence[Config], trainers: Sequence[Trainer]) -> list[TeacherRecord]:
    """The teacher is the one that began, and good enough; what was measured of it now or before, for each student's folder."""
    teacher = trainers[0].model.teacher
    folders = [trainer.settings.output_dir for trainer in trainers]
    for folder in folders:
        checkpoint = latest_checkpoint(folder)
        if checkpoint:
            refuse_another_teacher(checkpoint.card, teacher.identity, folder)
    record, *others = (TeacherRecord(folder, teacher.identity) for folder in folders)
    if isinstance(teacher, StoredTeacher):
        check_stored_teacher(configs[0], teacher, record, trainers[0].loader.dataset)
    else:
        check_teacher(configs[0], teacher, record, trainers[0].evaluate)
    for other in others:
        other.measured = record.measured
    return [record, *others]


def _say_what_was_written(trainer: Trainer, latest: Path) -> None:
    best = f", best top-1 {100 * trainer.best['top1']:.2f} % at step {trainer.best['step']}" if trainer.best else ""
    print(f"wrote {latest}{best}", flush=True)


def _folder(config: Config) -> Path:
    return Path(config.section("Global")["output_dir"])


def _announce(config: Config, trainer: Trainer) -> None:
    """What is about to happen, in two lines, and what the methods need for it."""
    arch, sampler = config.section("Arch"), trainer.loader.sampler
    teacher = f" taught by {trainer.model.teacher.identity.name}" if trainer.model.teacher else ""
    print(f"{config.file}: {arch['student']['name']}{teacher}, {', '.join(trainer.model.names)}, on "
          f"{sampler.size:,} images of {trainer.loader.dataset.manifest.source}")
    rate = config.section("Optimizer").get("lr", {}).get("learning_rate")
    stop = trainer.settings.stop_after_epoch
    print(f"{trainer.total_steps:,} steps ({trainer.timetable}{f', of which {stop} for now' if stop else ''}), batch "
          f"{sampler.global_batch * trainer.settings.update_freq} ({sampler.made_of} x {device.world_size()} processes x "
          f"{trainer.settings.update_freq}), learning rate {rate} as written, output {trainer.settings.output_dir}")
    mismatch = trainer.schedule.mismatch(sampler.global_batch * trainer.settings.update_freq)
    if mismatch:
        print(f"warning: {config.where('Optimizer', 'lr')}: {mismatch}", file=sys.stderr)
    for line in announcement(trainer.model):
        print(line, flush=True)


def _same_run_or_none(config: Config, folder: Path) -> None:
    """Refuse to go on with other settings than those that the checkpoints were made with.

    Raises:
        InputError: naming the first setting that differs.
    """
    if not (folder / CONFIG).exists() or not (folder / "checkpoints").exists():
        return
    before, now = (dict(flat(c.data)) for c in (Config.load(folder / CONFIG), config))
    for key in sorted(before.keys() | now.keys()):
        if before.get(key) != now.get(key) and not key.startswith(tuple(f"Global.{name}" for name in _FREE)):
            raise InputError(f"{folder} holds a run with {key} = {before.get(key)!r}, this one has {now.get(key)!r}. Choose "
                             "another Global.output_dir, or --restart to discard the earlier run.")
