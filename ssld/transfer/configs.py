"""The trainings of a transfer as configs: the student in place of the config's, the lists of the task, the length."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..config import Config, merge
from ..data.manifest import Manifest
from ..errors import InputError
from ..export.card import Card
from ..export.paddleclas import WEIGHTS
from .lists import Lists
from .plan import Transfer

SEARCH, FINAL = "search.yaml", "final.yaml"
# of Arch.student: what the card says, and what is set for each run
_REPLACED = ("name", "class_num", "pretrained", "pretrained_part", "use_ssld", "lr_mult_list", "new_classifier")


def student_options(plan: Transfer, base: Mapping, card: Card, class_num: int, class_names: list | None) -> dict:
    """Arch.student: the exported network with its weights.

    Its classifier begins anew if the classes are others than those it was exported with (another number, or other names where
    both are known), or if it was exported without.

    Raises:
        InputError: the config names another backbone, or another number of classes is to keep the classifier.
    """
    name, others = base.get("name", card.backbone), [card.class_names, class_names]
    if name != card.backbone:
        raise InputError(f"{plan.config} is for a {name}, but {plan.student} holds a {card.backbone}. Leave Arch.student.name "
                         "out.")
    differ = card.class_num != class_num or (None not in others and others[0] != others[1])
    without = bool(card.weights.get(WEIGHTS, {}).get("dropped"))
    new = differ or without if plan.new_classifier is None else plan.new_classifier
    if card.class_num != class_num and not new:
        raise InputError(f"new_classifier: false keeps the classifier of {card.class_num} classes, but the task has "
                         f"{class_num}.")
    own = {key: value for key, value in base.items() if key not in _REPLACED}
    return {**card.arch, **own, "class_num": class_num, "pretrained": str(Path(plan.student) / WEIGHTS), "new_classifier": new}


def training_config(plan: Transfer, base: Config, student: Mapping, lists: Lists, preprocess: list | None,
                    final: bool) -> Config:
    """The config of the trials, or of the runs that are measured at the end.

    Args:
        plan: the transfer.
        base: what `plan.config` says.
        student: see `student_options`.
        lists: of the task.
        preprocess: of the card, where the config says nothing of the evaluation's transforms.
        final: learn from all training images and measure on `eval`; else learn from `train` and measure on `validation`.
    """
    folder = Path(plan.output_dir) / "lists"
    loaders = base.section("DataLoader")
    shown = merge({"dataset": {"transform_ops": preprocess or []}, "sampler": {"batch_size": 64}}, loaders.get("Eval") or {})
    train, measured = ("all", "eval") if final else ("train", "validation")
    data = merge(base.data, {
        "Global": {"output_dir": plan.output_dir, "epochs": plan.search.rungs[-1], "eval_during_train": False,
                   "keep_checkpoints": 1},
        "DataLoader": {"Train": {"dataset": _images(getattr(lists, train), folder / f"{train}.txt")},
                       "Eval": merge(shown, {"dataset": _images(getattr(lists, measured), folder / f"{measured}.txt")})}})
    data["Arch"] = {**base.section("Arch"), "student": dict(student)}
    return Config(data, plan.config)


def _images(manifest: Manifest, file: Path) -> dict:
    return {"image_root": str(manifest.root), "cls_label_path": str(file), "delimiter": " "}
