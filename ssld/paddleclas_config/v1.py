"""PaddleClas 1.x: upper-case sections, and a distillation that is the name of an architecture."""
from __future__ import annotations

from collections.abc import Mapping

from ..checks import numbers, positive, positive_int
from ..device import world_size
from ..errors import InputError
from ..registry import nearest
from .arch import TEACHER_STATISTICS
from .data import translate_ops
from .mixing import mixing_1x
from .schedules import falling, piecewise
from .section import Section
from .translation import Translation
from .v2 import ANY_DEVICE, RESUME

_BETWEEN = "_distill_"
_GLOBAL = {"model_save_dir": "output_dir", "epochs": "epochs", "save_interval": "save_interval",
           "valid_interval": "eval_interval", "print_interval": "print_batch_step"}
_LIST = {"data_dir": "dataset.image_root", "file_list": "dataset.cls_label_path", "delimiter": "dataset.delimiter",
         "transforms": "dataset.transform_ops", "batch_size": "sampler.batch_size", "num_workers": "loader.num_workers"}
_RENAMED = {
    **{old: f"Global.{new}" for old, new in _GLOBAL.items()},
    **{f"{old}.{key}": f"DataLoader.{new}.{place}" for old, new in (("TRAIN", "Train"), ("VALID", "Eval"))
       for key, place in _LIST.items()},
    "TRAIN.mix": "DataLoader.Train.dataset.batch_transform_ops",
    "validate": "Global.eval_during_train", "TRAIN.shuffle_seed": "Global.seed", "use_gpu": "Global.device",
    "classes_num": "Arch.student.class_num", "ls_epsilon": "Loss.Train.0.CELoss.epsilon", "topk": "Metric.Eval.0.TopkAcc.topk",
    "ARCHITECTURE.params": "Arch.student", "ARCHITECTURE": "Arch.student",
    "LEARNING_RATE.function": "Optimizer.lr.name", "LEARNING_RATE.params.lr": "Optimizer.lr.learning_rate",
    "LEARNING_RATE.params": "Optimizer.lr", "OPTIMIZER.function": "Optimizer.name", "OPTIMIZER.params": "Optimizer",
    "OPTIMIZER.regularizer.function": "Optimizer.regularizer.name",
    "OPTIMIZER.regularizer.factor": "Optimizer.regularizer.coeff", "ema_decay": "EMA.decay", "use_fp16": "AMP.use_amp",
}


def translate(data: Mapping, translation: Translation, processes: int | None) -> dict:
    """The native sections of a 1.x file; see ssld.paddleclas_config.translate."""
    translation.renamed.update(_RENAMED)
    processes = processes or world_size()
    top = Section(translation, data)
    train, valid = top.inner("TRAIN"), top.inner("VALID")
    seed = train.whole("shuffle_seed", 0)
    native = {"Global": _global(top, seed), **_arch_and_loss(top),
              "Optimizer": _optimizer(top.inner("OPTIMIZER"), top.inner("LEARNING_RATE"))}
    mixing = mixing_1x(train, top.flag("use_mix"))
    loaders = {"Train": _loader(train, processes, "Train")}
    loaders["Train"]["dataset"].update(mixing)
    loaders["Train"]["sampler"].update(shuffle=True, drop_last=True)
    if valid.left:
        valid.drop("the order of evaluation does not matter", "shuffle_seed")
        loaders["Eval"] = _loader(valid, processes, "Eval")
    native["DataLoader"] = loaders
    native["Metric"] = {"Eval": [{"TopkAcc": {"topk": sorted({1, positive_int(f"{top.where}: topk", top.take("topk", 5))})}}]}
    native.update(_precision_and_average(top))
    _drop(top)
    top.close()
    return native


def _global(top: Section, seed: int) -> dict:
    top.only("mode", ("train",), "ssld eval measures, ssld train trains.")
    native = {new: top.take(old) for old, new in _GLOBAL.items() if top.has(old)}
    if not native.get("output_dir"):
        raise InputError(f"{top.where} needs the option 'model_save_dir'.")
    native["eval_during_train"] = top.flag("validate", True)
    native["use_visualdl"] = top.take("vdl_dir") is not None
    native["seed"] = seed
    if top.flag("use_gpu", True):
        top.translation.change(ANY_DEVICE)
        return {**native, "device": "auto"}
    return {**native, "device": "cpu"}


def _arch_and_loss(top: Section) -> dict:
    """The networks and the loss: half the sum of both KL divergences where there is a teacher, else cross-entropy."""
    architecture = top.inner("ARCHITECTURE")
    name, params = architecture.text("name"), architecture.inner("params")
    architecture.close()
    params.only("is_test", (True, False), "")
    params.only("freeze_teacher", (True,), "a teacher that trains along is not supported.")
    teacher, between, student = name.partition(_BETWEEN)
    distills = top.flag("use_distillation")
    if distills != bool(between):
        raise InputError(f"{top.where}: use_distillation is {str(distills).lower()}, but ARCHITECTURE.name is '{name}'. With a "
                         "teacher the name is TEACHER_distill_STUDENT, such as ResNet50_vd_distill_MobileNetV3_large_x1_0.")
    options = {"class_num": positive_int(f"{top.where}: classes_num", top.take("classes_num", 1000)), **params.rest()}
    return _distilled(top, teacher, student, options) if distills else _supervised(top, name, options)


def _supervised(top: Section, name: str, options: dict) -> dict:
    (file,), epsilon = _weights(top, 1), top.take("ls_epsilon", 0)
    top.translation.renamed["pretrained_model"] = "Arch.student.pretrained"
    loss = {"CELoss": {"weight": 1.0, **({"epsilon": epsilon} if epsilon not in (0, -1) else {})}}
    return {"Arch": {"student": {"name": name, **options, **_pretrained(file)}}, "Loss": {"Train": [loss]}}


def _distilled(top: Section, teacher: str, student: str, options: dict) -> dict:
    files, epsilon = _weights(top, 2), top.take("ls_epsilon", 0)
    if epsilon not in (0, -1):
        raise InputError(f"{top.where}: ls_epsilon {epsilon} smooths labels, but the teacher's distribution is the target. "
                         "Remove it.")
    top.translation.renamed["pretrained_model"] = "Arch.teacher.pretrained"
    top.translation.change(TEACHER_STATISTICS)
    constant = {key: value for key, value in options.items() if key != "lr_mult_list"}
    arch = {"student": {"name": student, **options, **_pretrained(files[1])},
            "teacher": {"name": teacher, **constant, **_pretrained(files[0])}}
    return {"Arch": arch, "Loss": {"Train": [{"JSDivLoss": {"weight": 1.0, "form": "symmetric_kl"}}]}}


def _weights(top: Section, networks: int) -> list:
    """pretrained_model: a path, or [teacher, student]."""
    value = top.take("pretrained_model", [])
    files = value if isinstance(value, list) else [value]
    if len(files) > networks or not all(isinstance(file, str) for file in files):
        raise InputError(f"{top.where}: pretrained_model must be a path{' or [teacher, student]' if networks > 1 else ''}, not "
                         f"{value!r}.")
    return files + [""] * (networks - len(files))


def _pretrained(file: str) -> dict:
    return {"pretrained": file} if file else {}


def _optimizer(optimizer: Section, rate: Section) -> dict:
    params, regularizer = optimizer.inner("params"), optimizer.inner("regularizer")
    native = {"name": optimizer.text("function", "Momentum"), **params.rest()}
    if regularizer.left:
        native["regularizer"] = {"name": regularizer.text("function", "L2"), "coeff": regularizer.take("factor")}
    regularizer.close()
    optimizer.close()
    return {**native, "lr": _learning_rate(rate)}


def _learning_rate(rate: Section) -> dict:
    function, params = rate.text("function"), rate.inner("params")
    rate.close()
    if function not in _RATES:
        raise InputError(f"{rate.where}.function: there is no learning rate '{function}' here. {nearest(function, _RATES)}")
    params.drop("counted from the list and from Global", "epochs", "step_each_epoch")
    base = positive(f"{params.where}.lr", params.take("lr"))
    native = _RATES[function](params, base)
    params.close()
    return native


def _cosine(params: Section, base: float) -> dict:
    params.translation.change("the cosine falls at every step; 1.x held the rate during an epoch "
                              "(-o Optimizer.lr.by_epoch=true).")
    return {"name": "Cosine", "learning_rate": base}


def _cosine_warmup(params: Section, base: float) -> dict:
    return {"name": "Cosine", "learning_rate": base, "warmup_epoch": params.take("warmup_epoch", 5)}


def _piecewise(params: Section, base: float) -> dict:
    epochs = numbers(f"{params.where}.decay_epochs", params.take("decay_epochs"))
    gamma = positive(f"{params.where}.gamma", params.take("gamma", 0.1))
    return piecewise(params, falling(base, gamma, len(epochs) + 1), epochs)


_RATES = {"Cosine": _cosine, "CosineWarmup": _cosine_warmup, "Piecewise": _piecewise}


def _loader(section: Section, processes: int, mode: str) -> dict:
    """TRAIN or VALID as a native loader; its batch_size is that of all processes together."""
    total = positive_int(f"{section.where}.batch_size", section.take("batch_size"))
    each = total // processes
    if not each:
        raise InputError(f"{section.where}.batch_size {total} is the batch of all {processes} processes together: less than "
                         "one picture for each.")
    if mode == "Train":
        section.translation.change(f"TRAIN.batch_size {total} is the batch of all processes together, batch_size that of one: "
                                   f"{total} // {processes} = {each}.")
    dataset = {"image_root": section.text("data_dir"), "cls_label_path": section.text("file_list"),
               "transform_ops": translate_ops(section.translation, section.take("transforms"), section.place("transforms"))}
    if section.has("delimiter"):
        dataset["delimiter"] = section.text("delimiter")
    native = {"dataset": dataset, "sampler": {"batch_size": each},
              "loader": {"num_workers": section.whole("num_workers", 0)}}
    section.close()
    return native


def _precision_and_average(top: Section) -> dict:
    """AMP and EMA, where they are on."""
    scale = positive(f"{top.where}: amp_scale_loss", top.take("amp_scale_loss", 1.0))
    decay = positive(f"{top.where}: ema_decay", top.take("ema_decay", 0.9999))
    dynamic, native = top.flag("use_dynamic_loss_scaling"), {}
    if top.flag("use_fp16"):
        native["AMP"] = {"use_amp": True, "scale_loss": scale, "use_dynamic_loss_scaling": dynamic}
    if top.flag("use_ema"):
        native["EMA"] = {"decay": decay}
    return native


def _drop(top: Section) -> None:
    """Keys that change nothing, or that cannot be ignored."""
    top.only("checkpoints", ("",), RESUME)
    top.only("last_epoch", (-1,), RESUME)
    top.only("load_static_weights", (False, [False], [False, False]), "weights of the static graph, one file for each tensor, "
             "cannot be read; convert them to .pdparams.")
    top.only("multilabel", (False,), "an image has one label here.")
    top.drop("an epoch is a pass over the list, and the schedule goes by its length", "total_images")
    top.drop("the transforms decide the size", "image_shape")
    top.drop("1.x did not read it either: use_distillation, use_mix and ls_epsilon say what the loss is", "LOSS")
    top.drop("how PaddleClas ran the same computation", "use_dali", "fuse_bn_act_ops", "fuse_elewise_add_act_ops",
             "fuse_bn_add_act_ops", "enable_addto", "use_xpu", "is_distributed")
