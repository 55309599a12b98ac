"""From Arch.teacher or Arch.teachers of a config to the teachers that label crops, each with its own view of them."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .build_data import build_dataset, evaluator, has_evaluation, loader_section
from .build_networks import VIEW_KEYS
from .build_onnx import is_onnx
from .build_teacher import build_teacher, check_teacher
from .config import Config
from .errors import InputError, located
from .registry import check_arguments, check_keys
from .softlabels.ensemble import Ensemble
from .softlabels.views import View
from .teachers.live import LiveTeacher
from .teachers.record import TeacherRecord


class Teacher(NamedTuple):
    """One of the teachers.

    Attributes:
        config: of a run with this teacher alone, which is measured in its own view.
        live: the network.
        view: of crops.
    """

    config: Config
    live: LiveTeacher
    view: View


def build_teachers(config: Config) -> list[Teacher]:
    """The networks of Arch.teachers, a list, or that of Arch.teacher.

    Keys of each: those of a live teacher (see ssld.build_teacher); size, interpolation, mean and std are those of its view of
    the files' pixels here.

    Raises:
        InputError: no network, misspelt keys, weights that do not fit, or a teacher whose labels would depend on neighbours.
    """
    parts = _parts(config)
    views = [_view(part) for part in parts]             # refused before any weights are read
    return [Teacher(part, build_teacher(part, own_view=True), view) for part, view in zip(parts, views)]


def build_ensemble(config: Config, teachers: Sequence[Teacher], temperature: float) -> Ensemble:
    """All teachers as one.

    Raises:
        InputError: they have not the same number of classes.
    """
    identities = [teacher.live.identity for teacher in teachers]
    if len({identity.class_num for identity in identities}) > 1:
        each = ", ".join(f"{identity.name} has class_num {identity.class_num}" for identity in identities)
        raise InputError(f"{config.where('Arch', 'teachers')} disagree on the number of classes: {each}. Only teachers of the "
                         "same classes, in the same order, can be averaged.")
    return Ensemble([teacher.live.engine for teacher in teachers], [teacher.view for teacher in teachers],
                    identities[0].class_num, temperature)


def facts_of_teachers(teachers: Sequence[Teacher]) -> dict:
    """What the metadata of a store says about its teachers; the view by itself only if they share one."""
    named = [{**teacher.live.identity._asdict(), "engine": teacher.live.engine.name, **teacher.view.card()}
             for teacher in teachers]
    for facts in named:
        del facts["sees"]               # the view says it
    view = teachers[0].view
    if any(teacher.view != view for teacher in teachers):
        return {"teachers": named}
    return {"teachers": named, "input_size": view.size, "interpolation": view.interpolation, "mean": list(view.mean),
            "std": list(view.std)}


def measure_teachers(teachers: Sequence[Teacher], folder: Path, dry_run: bool = False) -> None:
    """Accuracy of each on DataLoader.Eval, where there is such a list; what was measured before is not measured again.

    Args:
        teachers: are held to their min_top1.
        folder: of the records, in teacher-0, teacher-1, ...
        dry_run: write none.

    Raises:
        InputError: a teacher below its min_top1.
    """
    for place, (config, live, _) in enumerate(teachers):
        measure = evaluator(config, build_dataset(config, "Eval")) if has_evaluation(config) else None
        record = TeacherRecord(folder / f"teacher-{place}", live.identity)
        check_teacher(config, live, record, measure)
        if not dry_run:
            record.write()


def _parts(config: Config) -> list[Config]:
    """For each teacher a config with it as Arch.teacher."""
    arch, where = config.section("Arch"), config.where("Arch")
    check_keys(arch, ("student", "teacher", "teachers"), where)
    several = arch.get("teachers")
    if several is None:
        return [_part(config, arch.get("teacher"), config.file)]
    if not isinstance(several, list) or not several:
        raise InputError(f"{where}.teachers must be a list such as [{{name: ..., class_num: ..., pretrained: ...}}, ...].")
    return [_part(config, teacher, f"{config.file} (Arch.teachers[{place}])") for place, teacher in enumerate(several)]


def _part(config: Config, teacher, file: str) -> Config:
    """The config of a run with one teacher, in whose view the evaluation list is seen."""
    part = Config({**config.data, "Arch": {"teacher": teacher}}, file)
    where = part.where("Arch", "teacher")
    if not isinstance(teacher, Mapping) or not ("name" in teacher or is_onnx(part)):
        raise InputError(f"{where} must be a network: {{name: ..., class_num: ..., pretrained: ..., size: ...}}.")
    if teacher.get("engine") == "onednn_bf16":
        raise InputError(f"{where}: soft labels are computed in float32; onednn_bf16 is for a teacher in `ssld train`, where "
                         "it is compared with float32 first. Use engine: auto.")
    if teacher.get("batch_norm", "running") != "running":
        raise InputError(f"{where}: batch_norm {teacher['batch_norm']!r} would make a label depend on the other crops of its "
                         "batch. Use batch_norm: running.")
    part.data["Arch"] = {"teacher": {**teacher, "source": "onnx" if is_onnx(part) else "live"}}
    if has_evaluation(config):
        mode = dict(loader_section(config, "Eval"))
        mode["dataset"] = {**(mode.get("dataset") or {}), "transform_ops": _view(part).evaluation_ops()}
        part.data["DataLoader"] = {**config.section("DataLoader"), "Eval": mode}
    return part


def _view(part: Config) -> View:
    given, where = part.section("Arch")["teacher"], part.where("Arch", "teacher")
    given = {key: given[key] for key in VIEW_KEYS if key in given}
    check_arguments(View, given, where)
    with located(where):
        return View(**given)
