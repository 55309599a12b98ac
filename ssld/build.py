"""From a config to objects: the only module that sees a whole config."""
from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn

from dedup.files import sha256_file

from . import build_fix_stage
from .checks import one_of, positive_int
from .config import Config
from .data.dataset import DATASETS, ImageNetDataset
from .data.loader import Loader, StepSampler
from .data.manifest import check_labels, refuse_overlap
from .device import is_main, rank, world_size
from .distiller import Distiller, Term, check_needs
from .errors import InputError, located
from .methods import METHODS
from .models.freeze import Frozen
from .models.onednn import use_onednn
from .models.weights import load_weights
from .models.zoo import build_network, published_weights
from .optim.ema import EMA
from .optim.optimizers import OPTIMIZERS
from .optim.param_groups import apply_lr_multipliers
from .optim.schedules import SCHEDULES, Schedule
from .registry import check_arguments, check_keys
from .teachers.agreement import Agreement, measure_agreement, settle_precision, spread_images
from .teachers.engines import BFloat16Engine, Engine, make_engine
from .teachers.live import LiveTeacher
from .teachers.record import TeacherIdentity, TeacherRecord
from .train.evaluate import Evaluation, evaluate
from .train.precision import Precision
from .train.settings import Settings
from .train.trainer import Trainer

_SURELY_ABOVE_CHANCE = 0.75      # with two or three classes, twice chance says nothing
STUDENT_ENGINES = ("eager", "onednn")
SECTIONS = ("Global", "Arch", "Loss", "Optimizer", "DataLoader", "Metric", "AMP", "EMA")


def build_settings(config: Config, sections: Sequence[str] = SECTIONS) -> Settings:
    """The Global section, checked; other sections than `sections` are refused."""
    config.check_sections(sections)
    check_arguments(Settings, config.section("Global"), config.where("Global"))
    with located(config.file):
        return Settings(**config.section("Global"))


def build_student(config: Config, load: bool = True) -> nn.Layer:
    """Arch.student: the network, with its weights if `pretrained` says so, and its learning-rate multipliers.

    Keys: name, class_num, pretrained (false, a path, or true: PaddleClas's published weights), pretrained_part ("Student"
    or "Teacher", where a file holds both), trainable (prefixes; see ssld.models.freeze), engine (eager, or onednn: on CPU
    its wider convolutions train through oneDNN; see ssld.models.onednn), lr_mult_list, and whatever the backbone takes.
    """
    options = _network_options(config, "student")
    multipliers = options.pop("lr_mult_list", None)
    for key in ("trainable", "engine"):
        options.pop(key, None)
    network, _ = _network(options, config.where("Arch", "student"), load)
    if multipliers is not None:
        with located(config.where("Arch", "student")):
            apply_lr_multipliers(network, multipliers)
    return network


def build_teacher(config: Config) -> LiveTeacher | None:
    """Arch.teacher: a frozen network as a teacher; None when the section is absent or null.

    Keys: name, class_num, pretrained (as for the student), engine, batch_norm, min_top1, and whatever the backbone takes.
    """
    section = config.section("Arch").get("teacher")
    if not section:
        return None
    engine, batch_norm = section.get("engine", "auto"), section.get("batch_norm", "running")
    network, file = _frozen_network(config)
    identity = TeacherIdentity(section["name"], section["class_num"], str(file), sha256_file(file), engine, batch_norm)
    return LiveTeacher(make_engine(network, engine, batch_norm), identity)


def build_frozen_network(config: Config) -> nn.Layer:
    """The network of Arch.teacher with its weights.

    Raises:
        InputError: no weights are given, or they do not fit.
    """
    return _frozen_network(config)[0]


def _frozen_network(config: Config) -> tuple[nn.Layer, Path]:
    """The network of Arch.teacher, and the file of its weights."""
    where, options = config.where("Arch", "teacher"), _network_options(config, "teacher")
    for key in ("engine", "batch_norm", "min_top1"):
        options.pop(key, None)
    if not options.get("pretrained"):
        raise InputError(f"{where} needs 'pretrained', the path of the teacher's weights: a frozen teacher with random "
                         "weights would teach noise.")
    return _network(options, where)


def build_terms(config: Config) -> list[Term]:
    """Loss.Train: a list of one-key mappings such as {JSDivLoss: {weight: 1.0}}."""
    section = config.section("Loss")
    check_keys(section, ("Train",), config.where("Loss"))
    terms = []
    for place, entry in enumerate(section.get("Train") or []):
        where = config.where("Loss", "Train", place)
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise InputError(f"{where}: expected one loss such as 'JSDivLoss: {{weight: 1.0}}', found {entry!r}.")
        (name, options), = entry.items()
        options = dict(options or {})
        weighting = {key: options.pop(key) for key in ("weight", "warmup_epochs") if key in options}
        method = METHODS.build(name, options, where)
        with located(f"{where}.{name}"):
            terms.append(Term(method, **weighting))
    if not terms:
        raise InputError(f"{config.where('Loss', 'Train')} is empty: expected at least one loss, such as JSDivLoss.")
    return terms


def build_distiller(config: Config) -> Distiller:
    """Student, teacher and loss terms. What can be refused is refused before any weights are read."""
    terms = build_terms(config)
    if not config.section("Arch").get("teacher"):
        for term in terms:
            check_needs(term.method, None)
    else:
        _same_class_num(config)
    student = build_student(config)
    options = config.section("Arch")["student"]
    with located(config.where("Arch", "student")):
        frozen = Frozen(student, options["trainable"]) if options.get("trainable") is not None else None
        if one_of("engine", options.get("engine", "eager"), STUDENT_ENGINES) == "onednn":
            use_onednn(student)
    return Distiller(student, build_teacher(config), terms, frozen)


def build_dataset(config: Config, mode: str, seed: int = 0) -> ImageNetDataset:
    """DataLoader.Train.dataset or DataLoader.Eval.dataset."""
    options = dict(_loader_section(config, mode).get("dataset") or {})
    where = config.where("DataLoader", mode, "dataset")
    name = options.pop("name", "ImageNetDataset")
    return DATASETS.build(name, options, where, seed=seed, section=where)


def build_train_loader(config: Config, settings: Settings) -> Loader:
    """DataLoader.Train: images of the list, in batches by step."""
    dataset = build_dataset(config, "Train", settings.seed)
    sampler = _sampler_options(config, "Train")
    loading = _loading_options(config, "Train")
    with located(f"{config.where('DataLoader', 'Train')}: {dataset.manifest.source}"):
        steps = StepSampler(len(dataset), seed=settings.seed, rank=rank(), world=world_size(), **sampler)
    return Loader(dataset, steps, **loading)


def has_evaluation(config: Config) -> bool:
    """Whether there is a list to evaluate on."""
    return bool(config.section("DataLoader").get("Eval"))


def evaluator(config: Config, dataset=None):
    """A function from a network (or engine) to its Evaluation on DataLoader.Eval, or on another form of its dataset."""
    workers = _loading_options(config, "Eval").get("num_workers", 0) if dataset is None else 0
    dataset = build_dataset(config, "Eval") if dataset is None else dataset
    batch_size = _sampler_options(config, "Eval")["batch_size"]
    topk = _topk(config)

    def measure(network) -> Evaluation:
        return evaluate(network, dataset, batch_size, workers, topk)

    measure.dataset = dataset
    return measure


def build_schedule(config: Config, settings: Settings, steps_per_epoch: int) -> Schedule:
    """Optimizer.lr."""
    options = dict(config.section("Optimizer").get("lr") or {})
    name = options.pop("name", "Cosine")
    return SCHEDULES.build(name, options, config.where("Optimizer", "lr"), epochs=settings.epochs,
                           steps_per_epoch=steps_per_epoch)


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
    """Everything of a training run, ready to `fit()`."""
    settings = build_settings(config)
    paddle.seed(settings.seed)
    np.random.seed(settings.seed)           # some backbones of PaddleClas draw from numpy's global generator
    model = build_distiller(config)
    loader = build_train_loader(config, settings)
    measure = evaluator(config) if has_evaluation(config) else None
    _check_lists(config, model, loader.dataset, measure.dataset if measure else None)
    if settings.fix_resolution:
        build_fix_stage.check(config, model, loader.dataset)
    steps_per_epoch = settings.iter_per_epoch or loader.sampler.steps_per_pass // settings.update_freq
    if not steps_per_epoch:
        raise InputError(f"{config.where('Global')}: update_freq {settings.update_freq} is more than the "
                         f"{loader.sampler.steps_per_pass} batches of an epoch, so an epoch has zero steps.")
    if settings.fix_resolution and settings.cache_features:
        model, loader, measure = build_fix_stage.on_features(config, settings, model, loader, measure,
                                                             partial(evaluator, config))
    schedule = build_schedule(config, settings, steps_per_epoch)
    optimizer = build_optimizer(config, model, schedule(0))
    ema = None
    if config.section("EMA"):
        check_arguments(EMA, config.section("EMA"), config.where("EMA"), injected=["network"])
        with located(config.file):
            ema = EMA(model.student, **config.section("EMA"))
    return Trainer(model, loader, optimizer, schedule, settings, measure, ema, build_precision(config), _notes(model))


def _notes(model: Distiller) -> dict:
    """What every checkpoint says about where the run came from."""
    teacher = model.teacher and model.teacher.identity
    return {"teacher": {"path": teacher.path, "sha256": teacher.sha256}} if teacher else {}


def check_teacher(config: Config, teacher: LiveTeacher, record: TeacherRecord,
                  measure: Callable[[Engine], Evaluation] | None) -> Evaluation | None:
    """Settle how the teacher is run, and measure it, before it teaches; what `record` knows is not measured again.

    Args:
        config: for Arch.teacher, and the training images on which bfloat16 must agree with float32.
        teacher: to be measured.
        record: of the run.
        measure: accuracy of a network on the evaluation list; None where there is no such list.

    Raises:
        InputError: below Arch.teacher.min_top1, or nothing to measure that on.
    """
    if isinstance(teacher.engine, BFloat16Engine):
        settle_precision(teacher.engine, lambda: _agreement(config, teacher.engine, record))
    if measure is None:
        if config.section("Arch")["teacher"].get("min_top1") is not None:
            raise InputError(f"{config.where('Arch', 'teacher')}: min_top1 needs an evaluation list to measure the teacher on. "
                             "Add DataLoader.Eval.")
        return None
    inputs = {**_origin(config, "Eval"), "engine": teacher.engine.name}
    result, recorded = record.once("accuracy", inputs, lambda: measure(teacher.engine)._asdict())
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
        raise InputError(f"{where}: the teacher reaches top-1 {top1:.4f}, less than min_top1 {least}. Are "
                         f"{options['pretrained']} the right weights, and is the list in their class order?")
    if top1 < min(2 / classes, _SURELY_ABOVE_CHANCE) and is_main():
        print(f"warning: top-1 {top1:.4f} is hardly above chance (1/{classes}). Check the teacher's weights and the order "
              "of the classes in the list; Arch.teacher.min_top1 makes this an error.", file=sys.stderr)


def _agreement(config: Config, engine: BFloat16Engine, record: TeacherRecord) -> Agreement:
    """How far bfloat16 agrees with float32 on images of the training list."""
    seed, batch_size = config.section("Global").get("seed", 0), _sampler_options(config, "Train")["batch_size"]

    def measure() -> dict:
        images = spread_images(build_dataset(config, "Train", seed), batch_size,
                               _loading_options(config, "Train").get("num_workers", 0))
        return measure_agreement(engine.candidate, engine.reference, images)._asdict()

    return Agreement(**record.once("agreement", {**_origin(config, "Train"), "seed": seed}, measure)[0])


def _origin(config: Config, mode: str) -> dict:
    """What a measurement on a list depends on."""
    dataset = _loader_section(config, mode)["dataset"]
    return {"list": dataset["cls_label_path"], "list_sha256": sha256_file(dataset["cls_label_path"]), "dataset": dataset}


def _same_class_num(config: Config) -> None:
    """Refuse a teacher whose classes are not the student's."""
    student, teacher = (_network_options(config, part) for part in ("student", "teacher"))
    if student["class_num"] != teacher["class_num"]:
        raise InputError(f"{config.where('Arch')}: student and teacher disagree on the number of classes: {student['name']} "
                         f"has class_num {student['class_num']}, {teacher['name']} has {teacher['class_num']}. Set both to "
                         "that of the teacher's weights.")


def _network_options(config: Config, part: str) -> dict[str, Any]:
    options = config.section("Arch").get(part)
    if not isinstance(options, Mapping):
        raise InputError(f"{config.where('Arch')} needs '{part}: {{name: ..., class_num: ...}}'.")
    check_keys(config.section("Arch"), ("student", "teacher"), config.where("Arch"))
    for key in ("name", "class_num"):
        if key not in options:
            raise InputError(f"{config.where('Arch', part)} needs the option '{key}'.")
    return dict(options)


def _network(options: dict, where: str, load: bool = True) -> tuple[nn.Layer, Path | None]:
    """A network from its options, with its weights, and the file that they came from."""
    pretrained, use_ssld = options.pop("pretrained", False), options.pop("use_ssld", False)
    part = options.pop("pretrained_part", None)
    network, file = build_network(where=where, **options), None
    if pretrained and load:
        with located(f"{where}.pretrained"):
            wanted = published_weights(options["name"], use_ssld) if pretrained is True else pretrained
            file = load_weights(network, wanted, part)
    return network, file


def _loader_section(config: Config, mode: str) -> Mapping:
    check_keys(config.section("DataLoader"), ("Train", "Eval"), config.where("DataLoader"))
    section = config.section("DataLoader").get(mode)
    if not isinstance(section, Mapping):
        raise InputError(f"{config.where('DataLoader')} needs '{mode}' with dataset, sampler and loader.")
    check_keys(section, ("dataset", "sampler", "loader"), config.where("DataLoader", mode))
    return section


def _sampler_options(config: Config, mode: str) -> dict:
    """DataLoader.*.sampler: batch_size (per process), shuffle, drop_last."""
    options = dict(_loader_section(config, mode).get("sampler") or {})
    where = config.where("DataLoader", mode, "sampler")
    name = options.pop("name", "DistributedBatchSampler")
    if name != "DistributedBatchSampler":
        raise InputError(f"{where}: there is no sampler '{name}'. Known: DistributedBatchSampler.")
    check_arguments(StepSampler, options, where, injected=["size", "seed", "rank", "world"])
    return options


def _loading_options(config: Config, mode: str) -> dict:
    """DataLoader.*.loader: num_workers, use_shared_memory."""
    options = dict(_loader_section(config, mode).get("loader") or {})
    check_arguments(Loader, options, config.where("DataLoader", mode, "loader"), injected=["dataset", "sampler"])
    return options


def _topk(config: Config) -> tuple[int, ...]:
    """Metric.Eval: [{TopkAcc: {topk: [1, 5]}}]; top-1 is always measured."""
    topk = {1}
    check_keys(config.section("Metric"), ("Train", "Eval"), config.where("Metric"))
    for place, entry in enumerate(config.section("Metric").get("Eval") or [{"TopkAcc": {"topk": [1, 5]}}]):
        if not isinstance(entry, Mapping) or set(entry) != {"TopkAcc"}:
            raise InputError(f"{config.where('Metric', 'Eval', place)}: expected TopkAcc, found {entry!r}.")
        options, where = entry["TopkAcc"] or {}, config.where("Metric", "Eval", place, "TopkAcc")
        check_keys(options, ("topk",), where)
        topk |= {positive_int(f"{where}.topk", k) for k in options.get("topk", [1, 5])}
    return tuple(sorted(topk))


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
                             "a teacher only, such as JSDivLoss, or a list with labels.")
    if manifest.unlabelled and is_main():
        print(f"{manifest.source}: {manifest.unlabelled:,} of {len(manifest):,} images are unlabelled", flush=True)
    if evaluation is not None:
        refuse_overlap(manifest, evaluation.manifest)
