"""From Arch.teacher of a config to a teacher that was looked at before it teaches."""
from __future__ import annotations

import sys
from collections.abc import Callable

from dedup.files import sha256_file

from .build_data import batch_size_of, build_dataset, loader_section, loading_options
from .build_networks import frozen_network, network_options
from .build_onnx import build_onnx_teacher, is_onnx, onnx_options
from .build_own_view import view_in_training
from .build_stored import build_stored_teacher, is_stored
from .checks import fraction
from .config import Config
from .device import is_main
from .errors import InputError
from .teachers.agreement import Agreement, measure_agreement, settle_precision, spread_images
from .teachers.engines import BFloat16Engine, Engine, make_engine
from .teachers.live import LiveTeacher
from .teachers.record import TeacherIdentity, TeacherRecord
from .teachers.stored import StoredTeacher
from .train.evaluate import Evaluation

_SURELY_ABOVE_CHANCE = 0.75      # with two or three classes, twice chance says nothing


def build_teacher(config: Config, own_view: bool = False) -> LiveTeacher | StoredTeacher | None:
    """Arch.teacher: a frozen network as a teacher, or a store of its labels; None when the section is absent or null.

    Keys: source: live (the default), onnx or stored; live: name, class_num, pretrained (as for the student), engine,
    batch_norm, min_top1, and whatever the backbone takes; onnx: see ssld.build_onnx; both: size, interpolation, mean and std
    of the images that it was trained on, see ssld.build_own_view; stored: see ssld.build_stored, keys of a live teacher say
    nothing then.

    Args:
        config: of a run.
        own_view: the images that will come are the teacher's own view already.
    """
    section = config.section("Arch").get("teacher")
    if not section:
        return None
    if is_stored(config):
        return build_stored_teacher(config)
    teacher = build_onnx_teacher(config, own_view) if is_onnx(config) else _network_as_teacher(config, own_view)
    if teacher.view is not None and teacher.view.differs and is_main():
        print(f"teacher {teacher.identity.name} sees {teacher.view}", flush=True)
    return teacher


def _network_as_teacher(config: Config, own_view: bool) -> LiveTeacher:
    """Arch.teacher with `source: live`."""
    view = None if own_view else view_in_training(config)           # refused before any weights are read
    network, file = frozen_network(config)
    section = config.section("Arch")["teacher"]
    engine, batch_norm = section.get("engine", "auto"), section.get("batch_norm", "running")
    identity = TeacherIdentity(section["name"], section["class_num"], str(file), sha256_file(file), engine, batch_norm,
                               view and str(view))
    return LiveTeacher(make_engine(network, engine, batch_norm), identity, view)


def check_teacher(config: Config, teacher: LiveTeacher, record: TeacherRecord,
                  measure: Callable[[Engine], Evaluation] | None) -> Evaluation | None:
    """Settle how the teacher is run, and measure it, before it teaches; what `record` knows is not measured again.

    Args:
        config: for Arch.teacher, and the training images on which bfloat16 must agree with float32.
        teacher: to be measured.
        record: of the run.
        measure: accuracy of a network on the evaluation list; None where there is no such list.

    Raises:
        InputError: below Arch.teacher.min_top1, which is no share or which nothing can be measured on.
    """
    least, where = config.section("Arch")["teacher"].get("min_top1"), config.where("Arch", "teacher")
    if least is not None:
        fraction(f"{where}.min_top1", least)
    if isinstance(teacher.engine, BFloat16Engine):
        settle_precision(teacher.engine, lambda: _agreement(config, teacher, record))
    if measure is None:
        if least is not None:
            raise InputError(f"{where}: min_top1 needs an evaluation list to measure the teacher on. Add DataLoader.Eval.")
        return None
    inputs = {**_origin(config, "Eval"), "engine": teacher.engine.name}
    result, recorded = record.once("accuracy", inputs, lambda: measure(teacher.logits)._asdict())
    evaluation = Evaluation(**result)
    if is_main():
        print(f"teacher {record.teacher.name} ({teacher.engine.name}): {evaluation}"
              + (f"; measured before, see {record.file}" if recorded else ""), flush=True)
    _judge_teacher(config, evaluation.accuracy["top1"])
    return evaluation


def _judge_teacher(config: Config, top1: float) -> None:
    """Refuse a teacher below min_top1, and warn of one that knows nothing."""
    options, where = config.section("Arch")["teacher"], config.where("Arch", "teacher")
    least, classes = options.get("min_top1"), options["class_num"]
    if least is not None and top1 < least:
        file = options["path" if is_onnx(config) else "pretrained"]
        raise InputError(f"{where}: the teacher reaches top-1 {top1:.4f}, less than min_top1 {least}. Is {file} the right "
                         "file, and is the list in its class order?")
    if top1 < min(2 / classes, _SURELY_ABOVE_CHANCE) and is_main():
        print(f"warning: top-1 {top1:.4f} is hardly above chance (1/{classes}). Check the teacher's weights and the order "
              "of the classes in the list; Arch.teacher.min_top1 makes this an error.", file=sys.stderr)


def _agreement(config: Config, teacher: LiveTeacher, record: TeacherRecord) -> Agreement:
    """How far bfloat16 agrees with float32 on images of the training list, as the teacher sees them."""
    seed, batch_size = config.section("Global").get("seed", 0), batch_size_of(config, "Train")

    def measure() -> dict:
        images = spread_images(build_dataset(config, "Train", seed), batch_size,
                               loading_options(config, "Train").get("num_workers", 0))
        return measure_agreement(teacher.engine.candidate, teacher.engine.reference, map(teacher.own, images))._asdict()

    return Agreement(**record.once("agreement", {**_origin(config, "Train"), "seed": seed}, measure)[0])


def _origin(config: Config, mode: str) -> dict:
    """What a measurement on a list depends on."""
    dataset = loader_section(config, mode)["dataset"]
    return {"list": dataset["cls_label_path"], "list_sha256": sha256_file(dataset["cls_label_path"]), "dataset": dataset}


def check_class_num(config: Config) -> None:
    """Refuse a teacher whose classes are not the student's."""
    student = network_options(config, "student")
    teacher = vars(onnx_options(config)) if is_onnx(config) else network_options(config, "teacher")
    if student["class_num"] != teacher["class_num"]:
        raise InputError(f"{config.where('Arch')}: student and teacher disagree on the number of classes: {student['name']} "
                         f"has class_num {student['class_num']}, {teacher['name']} has {teacher['class_num']}. Set both to "
                         "that of the teacher's weights.")
