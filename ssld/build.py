"""From a config to a training run. What one section needs lies in build_networks, build_teacher, build_data and
build_fix_stage; the counterpart for curation is build_expansion. Nothing below these files sees a config."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np
import paddle
from paddle import nn

from . import build_fix_stage
from .build_data import build_train_loader, evaluator, has_evaluation, mixed
from .build_networks import build_student, network_options
from .build_stored import build_stored_loader, is_stored
from .build_teacher import build_teacher, check_class_num
from .checks import one_of
from .config import Config
from .data.dataset import ImageNetDataset
from .data.loader import Loader, StepSampler
from .data.manifest import check_labels, refuse_overlap
from .device import is_main
from .distiller import Distiller, Term, check_needs
from .errors import InputError, located
from .methods import METHODS
from .models.freeze import Frozen
from .models.onednn import use_onednn
from .optim.ema import EMA
from .optim.optimizers import OPTIMIZERS
from .optim.schedules import SCHEDULES, Schedule
from .registry import check_arguments, check_keys, options_of
from .softlabels.passes import CropSampler
from .students import one_student, students_of
from .teachers.base import Teacher
from .teachers.shared import SharedTeacher
from .teachers.stored import StoredTeacher
from .timetable import Timetable
from .train.precision import Precision
from .train.settings import Settings
from .train.trainer import Trainer

STUDENT_ENGINES = ("eager", "onednn")
SECTIONS = ("Global", "Arch", "Loss", "Optimizer", "DataLoader", "Metric", "AMP", "EMA", "SoftLabels")


def build_settings(config: Config, sections: Sequence[str] = SECTIONS) -> Settings:
    """The Global section, checked; other sections than `sections` are refused."""
    config.check_sections(sections)
    check_arguments(Settings, config.section("Global"), config.where("Global"))
    with located(config.file):
        return Settings(**config.section("Global"))


def build_terms(config: Config) -> list[Term]:
    """Loss.Train: a list of one-key mappings such as {JSDivLoss: {weight: 1.0}}."""
    section, class_num = config.section("Loss"), network_options(config, "student")["class_num"]
    check_keys(section, ("Train",), config.where("Loss"))
    terms = []
    for place, entry in enumerate(section.get("Train") or []):
        where = config.where("Loss", "Train", place)
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise InputError(f"{where}: expected one loss such as 'JSDivLoss: {{weight: 1.0}}', found {entry!r}.")
        (name, options), = entry.items()
        options = options_of(options, f"{where}.{name}")
        weighting = {key: options.pop(key) for key in ("weight", "warmup_epochs", "warmup_by_epoch") if key in options}
        method = METHODS.build(name, options, where, class_num=class_num)
        with located(f"{where}.{name}"):
            terms.append(Term(method, **weighting))
    if not terms:
        raise InputError(f"{config.where('Loss', 'Train')} is empty: expected at least one loss, such as JSDivLoss.")
    return terms


def build_distiller(config: Config, teacher: Callable[[], Teacher | None] | None = None) -> Distiller:
    """Student, teacher and loss terms. What can be refused is refused before any weights are read.

    Args:
        config: of one student.
        teacher: gives that of Arch.teacher, where several students share one.
    """
    terms = build_terms(config)
    if not config.section("Arch").get("teacher"):
        for term in terms:
            check_needs(term.method, None)
    elif not is_stored(config):
        check_class_num(config)
    student = build_student(config)
    options = config.section("Arch")["student"]
    with located(config.where("Arch", "student")):
        frozen = Frozen(student, options["trainable"]) if options.get("trainable") is not None else None
        if one_of("engine", options.get("engine", "eager"), STUDENT_ENGINES) == "onednn":
            use_onednn(student)
    with located(config.file):
        return Distiller(student, teacher() if teacher else build_teacher(config), terms, frozen)


def build_timetable(config: Config, settings: Settings, sampler: StepSampler | CropSampler) -> Timetable:
    """The epochs of a run in optimizer steps.

    Raises:
        InputError: an epoch of zero steps.
    """
    if sampler.timetable:
        return sampler.timetable
    steps = settings.iter_per_epoch or sampler.steps_per_pass // settings.update_freq
    if not steps:
        raise InputError(f"{config.where('Global')}: update_freq {settings.update_freq} is more than the "
                         f"{sampler.steps_per_pass} batches of an epoch, so an epoch has zero steps.")
    return Timetable.uniform(settings.epochs, steps)


def build_schedule(config: Config, timetable: Timetable) -> Schedule:
    """Optimizer.lr."""
    where = config.where("Optimizer", "lr")
    options = options_of(config.section("Optimizer").get("lr"), where)
    return SCHEDULES.build(options.pop("name", "Cosine"), options, where, timetable=timetable)


def build_optimizer(config: Config, network: nn.Layer, learning_rate: float):
    """Optimizer, for the trainable parameters of `network`."""
    options = config.section("Optimizer")
    options.pop("lr", None)
    return OPTIMIZERS.build(options.pop("name", "Momentum"), options, config.where("Optimizer"), network=network,
                            learning_rate=learning_rate)


def build_precision(config: Config) -> Precision:
    """AMP: mixed precision, which is off by default."""
    check_arguments(Precision, config.section("AMP"), config.where("AMP"))
    with located(config.file):
        return Precision(**config.section("AMP"))


def build_trainer(config: Config) -> Trainer:
    """Everything of the training of one student, ready to `fit()`."""
    one_student(config)
    return build_trainers(config)[0]


def build_trainers(config: Config) -> list[Trainer]:
    """The training of each student, ready for `ssld.train.loop.fit`; they share lists, images and teacher."""
    runs = students_of(config)
    settings = {name: build_settings(alone) for name, alone in runs.items()}
    first = next(iter(runs))
    common, its_settings = runs[first], settings[first]
    if its_settings.fix_resolution and len(runs) > 1:
        raise InputError(f"{config.where('Global')}: a Fix stage (fix_resolution) trains one classifier, and Arch.students "
                         f"names {len(runs)} students. Give each a run of its own.")
    teacher = cache(partial(_shared_teacher if len(runs) > 1 else build_teacher, common))
    models = {name: _as_if_alone(alone, settings[name], teacher) for name, alone in runs.items()}
    if isinstance(teacher(), SharedTeacher):
        teacher().announce(tap for model in models.values() for tap in model.teacher_taps())
    if isinstance(teacher(), StoredTeacher):
        loader = build_stored_loader(common, its_settings, teacher().store)
    else:
        loader = build_train_loader(common, its_settings)
    measure = evaluator(common) if has_evaluation(common) else None
    loader = mixed(common, its_settings, loader)
    return [_build_trainer(alone, settings[name], models[name], loader, measure, name) for name, alone in runs.items()]


def _shared_teacher(config: Config) -> Teacher | None:
    """The teacher of several students; labels from a store come with each batch, so nobody is asked for them."""
    teacher = build_teacher(config)
    return teacher if teacher is None or isinstance(teacher, StoredTeacher) else SharedTeacher(teacher)


def _as_if_alone(config: Config, settings: Settings, teacher: Callable[[], Teacher | None]) -> Distiller:
    """A student with random weights that do not depend on who was built before."""
    paddle.seed(settings.seed)
    np.random.seed(settings.seed)           # some backbones of PaddleClas draw from numpy's global generator
    return build_distiller(config, teacher)


def _build_trainer(config: Config, settings: Settings, model: Distiller, loader: Loader, measure, name: str) -> Trainer:
    """What one student has for itself."""
    _check_lists(config, model, loader.dataset, measure.dataset if measure else None)
    if settings.fix_resolution:
        build_fix_stage.check(config, model, loader.dataset)
    if any("features" in term.method.needs for term in model.terms):
        paddle.seed(int(np.random.SeedSequence((settings.seed, 1)).generate_state(1)[0]))      # as if alone, too
        with located(config.file):
            model.attach(loader.dataset.image_size(), loader.dataset.manifest.label, settings.seed)
    if settings.fix_resolution and settings.cache_features:
        model, loader, measure = build_fix_stage.on_features(config, settings, model, loader, measure,
                                                             partial(evaluator, config))
    schedule = build_schedule(config, build_timetable(config, settings, loader.sampler))
    optimizer = build_optimizer(config, model, schedule(0))
    ema = None
    if config.section("EMA"):
        check_arguments(EMA, config.section("EMA"), config.where("EMA"), injected=["network"])
        with located(config.file):
            ema = EMA(model.student, **config.section("EMA"))
    return Trainer(model, loader, optimizer, schedule, settings, measure, ema, build_precision(config), _notes(model), name)


def _notes(model: Distiller) -> dict:
    """What every checkpoint says about where the run came from."""
    teacher = model.teacher and model.teacher.identity
    return {"teacher": {"path": teacher.path, "sha256": teacher.sha256}} if teacher else {}


def _check_lists(config: Config, model: Distiller, train: ImageNetDataset, evaluation: ImageNetDataset | None) -> None:
    """Labels within the classes; labels present where a loss reads them; no image in both lists."""
    student = config.section("Arch")["student"]
    for dataset in filter(None, (train, evaluation)):
        check_labels(dataset.manifest, student["class_num"], student["name"])
    manifest = train.manifest
    for term in model.terms:
        if "label" in term.method.needs and manifest.unlabelled:
            raise InputError(f"{type(term.method).__name__} needs labels, but {manifest.unlabelled:,} of "
                             f"{len(manifest):,} images in {manifest.source} have none (label -1). Use a loss that needs "
                             "a teacher only, such as JSDivLoss, a list with labels, or CELoss or BCELoss with unlabelled: "
                             "skip.")
    if manifest.unlabelled and is_main():
        print(f"{manifest.source}: {manifest.unlabelled:,} of {len(manifest):,} images are unlabelled", flush=True)
    if evaluation is not None:
        refuse_overlap(manifest, evaluation.manifest)
