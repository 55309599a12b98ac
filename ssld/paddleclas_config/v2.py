"""PaddleClas 2.x: sections Global, Arch, Loss, Optimizer, DataLoader, Metric, AMP, EMA."""
from __future__ import annotations

from collections.abc import Mapping

from ..checks import positive
from ..errors import InputError
from . import arch as arch_section
from .data import translate_loader
from .losses import Roles, translate_losses
from .schedules import translate_lr
from .section import Section, named_entry
from .translation import Translation

RESUME = ("a run goes on by itself from the checkpoints in its output_dir. To start from PaddleClas's weights give the path "
          "without .pdparams to Arch.student.pretrained, and remove this key.")
ANY_DEVICE = "device gpu is 'auto' here: a GPU if there is one, else the CPU (-o Global.device=gpu insists)."
_KEPT = {**{key: key for key in ("epochs", "save_interval", "eval_interval", "start_eval_epoch", "update_freq",
                                 "print_batch_step", "seed")}, "max_num_latest_checkpoint": "keep_checkpoints"}


def translate(data: Mapping, translation: Translation) -> dict:
    """The native sections of a 2.x file."""
    top = Section(translation, data)
    top.drop("used by PaddleClas's other tools; here: ssld export", "Infer", "Export")
    top.only("Slim", (), "pruning and quantisation are not part of this toolkit.")
    sections = {name: top.inner(name) for name in ("Global", "Arch", "Loss", "DataLoader", "Metric", "AMP", "EMA")}
    optimizer = top.take("Optimizer")
    top.close()
    class_num, checkpoint = sections["Global"].take("class_num"), sections["Global"].text("pretrained_model")
    settings = _global(sections["Global"])
    arch, terms, student = _arch_and_terms(sections["Arch"], sections["Loss"], class_num, checkpoint)
    return {"Global": settings, "Arch": arch, "Loss": {"Train": terms},
            "Optimizer": _optimizer(translation, optimizer, settings.get("epochs", 1)),
            "DataLoader": _loaders(sections["DataLoader"]), **_metric(sections["Metric"], student), **_amp(sections["AMP"]),
            **_average(sections["EMA"])}


def _arch_and_terms(arch: Section, loss: Section, class_num: int | None, checkpoint: str) -> tuple[dict, list, str]:
    """The native Arch, the loss terms, and what the file calls the student.

    Args:
        arch, loss: the old sections.
        class_num: Global.class_num.
        checkpoint: Global.pretrained_model; "" is none.
    """
    if "models" not in arch.left and arch.left.get("name") != arch_section.DISTILLATION:
        native = arch_section.plain(arch, class_num, checkpoint)
        return native, translate_losses(loss, Roles("student"))[0], "student"
    arch.only("name", (arch_section.DISTILLATION,), "only a DistillationModel holds several models.")
    models = arch_section.Models(arch, loss.left.get("Train"), class_num)
    terms, teachers = translate_losses(loss, models.roles)
    return models.native(teachers, checkpoint), terms, models.roles.student


def _global(settings: Section) -> dict:
    """Global without the keys of PaddleClas's other tools."""
    settings.only("checkpoints", ("",), RESUME)
    for key in ("eval_mode", "train_mode"):
        settings.only(key, ("classification",), "this toolkit classifies.")
    settings.only("use_multilabel", (False,), "an image has one label here.")
    settings.drop("the transforms decide the size", "image_shape")
    settings.drop("ssld export --out says where", "save_inference_dir")
    settings.drop("how PaddleClas ran the same computation", "to_static", "use_dali")
    native = {"output_dir": settings.text("output_dir"), "device": device(settings.text("device", "auto"), settings)}
    if not native["output_dir"]:
        raise InputError(f"{settings.where} needs the option 'output_dir'.")
    native.update({new: settings.whole(old, None) for old, new in _KEPT.items() if settings.has(old)})
    native["eval_during_train"] = settings.flag("eval_during_train", True)
    native["use_visualdl"] = settings.flag("use_visualdl")
    if settings.has("iter_per_epoch"):
        batches, together = settings.whole("iter_per_epoch", 1), native.get("update_freq", 1)
        native["iter_per_epoch"] = batches // together
        if together != 1:
            settings.translation.change(f"iter_per_epoch counts optimizer steps: {batches} batches // update_freq {together}.")
    settings.close()
    return native


def device(name: str, section: Section) -> str:
    """PaddleClas's files say gpu, wherever they run."""
    if name != "gpu":
        return name
    section.translation.change(ANY_DEVICE)
    return "auto"


def _optimizer(translation: Translation, value, epochs: int) -> dict:
    if isinstance(value, list):
        raise InputError(f"{translation.file}: Optimizer is a list of optimizers with a scope each; one optimizer for the "
                         "whole student is supported. Write its settings without the list.")
    optimizer = Section(translation, value, "Optimizer")
    if optimizer.left.get("regularizer") is not None:
        optimizer.drop("the regularizer wins where both are given", "weight_decay")
    lr = translate_lr(optimizer.inner("lr"), epochs)
    return {**{key: value for key, value in optimizer.rest().items() if value is not None}, "lr": lr}


def _loaders(loader: Section) -> dict:
    sides = {mode: loader.inner(mode) for mode in ("Train", "Eval")}
    loader.close()
    return {mode: translate_loader(side, mode) for mode, side in sides.items() if side.left}


def _metric(metric: Section, student: str) -> dict:
    """Accuracy on the evaluation list; the training log shows the losses."""
    metric.drop("accuracy is measured on the evaluation list", "Train")
    native = []
    for place, entry in enumerate(metric.entries("Eval")):
        name, options = named_entry(metric.translation, entry, f"Metric.Eval[{place}]")
        if name not in ("TopkAcc", "DistillationTopkAcc"):
            raise InputError(f"{options.where}: there is no such metric here. Known: TopkAcc, DistillationTopkAcc.")
        options.only("model_key", (student,), f"the student ({student}) is what is evaluated.")
        topk = options.take("topk", [1, 5])
        options.close()
        metric.translation.renamed[f"Metric.Eval.{place}.{name}"] = f"Metric.Eval.{place}.TopkAcc"
        native.append({"TopkAcc": {"topk": topk if isinstance(topk, list) else [topk]}})
    metric.close()
    return {"Metric": {"Eval": native}} if native else {}


def _amp(amp: Section) -> dict:
    """Mixed precision: the section alone switches it on, as long as it does not say use_amp: false."""
    present, said = bool(amp.left), amp.has("use_amp")
    native = {"use_amp": amp.flag("use_amp", True), "level": amp.text("level", "O1"),
              "scale_loss": positive(f"{amp.where}.scale_loss", amp.take("scale_loss", 1.0)),
              "use_dynamic_loss_scaling": amp.flag("use_dynamic_loss_scaling")}
    for key in ("use_fp16_test", "use_promote"):
        if amp.flag(key):
            amp.translation.drop(f"AMP.{key}", "evaluation is in float32, and Paddle's own lists say what is cast")
    amp.close()
    if not present or not native["use_amp"]:
        return {}
    if not said:
        amp.translation.change("AMP is on, as the section's presence meant in early 2.x; AMP.use_amp: false switches it off.")
    return {"AMP": native}


def _average(average: Section) -> dict:
    """EMA; PaddleClas averages with 0.9999 where the section does not say."""
    native = {"EMA": {"decay": positive(f"{average.where}.decay", average.take("decay", 0.9999))}} if average.left else {}
    average.close()
    return native
