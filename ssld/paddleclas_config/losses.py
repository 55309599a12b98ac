"""PaddleClas's losses as methods. One row of LOSSES is all that a new method needs."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..methods import METHODS
from ..registry import nearest
from .section import Section, named_entry

_LOGITS = ("logits", "output")          # names that a dict of outputs gives to the logits


@dataclass(frozen=True)
class Loss:
    """What a loss of PaddleClas is called here.

    Attributes:
        native: class name of the method; known as soon as it is registered.
        options: old option -> (native option, PaddleClas's default).
        only: old option -> (values that change nothing here, why others are refused).
        fixed: native options that PaddleClas had no word for.
        labels: it compares with the labels, not with a teacher.
        symmetric: student and teacher may change places.
    """

    native: str
    options: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    only: Mapping[str, tuple] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    labels: bool = False
    symmetric: bool = False


_SOFT = "the teacher's distribution is the target, which is soft already."
LOSSES = {
    "CELoss": Loss("CELoss", {"epsilon": ("epsilon", None)}, labels=True),
    "DistillationGTCELoss": Loss("CELoss", {"epsilon": ("epsilon", None)}, labels=True),
    "MixCELoss": Loss("CELoss", {"epsilon": ("epsilon", None)}, labels=True),
    "SoftTargetCrossEntropy": Loss("CELoss", labels=True),
    "DistillationCELoss": Loss("SoftCELoss", only={"epsilon": ((0, -1), _SOFT), "use_hard_label": ((False,), _SOFT)}),
    "DistillationDMLLoss": Loss("JSDivLoss", fixed={"form": "symmetric_kl"}, symmetric=True,
                                only={"act": (("softmax",), "the loss compares distributions over classes.")}),
    "DistillationKLDivLoss": Loss("KDLoss", {"temperature": ("temperature", 4)}),
    "DistillationDKDLoss": Loss("DKDLoss", {"temperature": ("temperature", 1.0), "alpha": ("alpha", 1.0),
                                            "beta": ("beta", 1.0)},
                                {"use_target_as_gt": ((False,), "it would take the teacher's best class for the label.")}),
    "DistillationDISTLoss": Loss("DISTLoss", {"beta": ("beta", 1.0), "gamma": ("gamma", 1.0)}),
}
_WITHOUT_METHOD = ("DistillationDistanceLoss", "DistillationRKDLoss", "DistillationWSLLoss", "DistillationSKDLoss",
                   "DistillationPairLoss", "DistillationMultiLabelLoss", "AFDLoss", "MGDLoss", "PEFDLoss", "ReviewKDLoss")


@dataclass(frozen=True)
class Roles:
    """Who learns and who teaches among the models of an old file.

    Attributes:
        student: name of the one that trains.
        frozen: names of the others.
    """

    student: str
    frozen: tuple[str, ...] = ()


def has_labels(train) -> bool:
    """Whether one of the losses reads labels; for files that are refused anyway, so nothing is checked."""
    entries = train if isinstance(train, list) else []
    return any(LOSSES[name].labels for entry in entries if isinstance(entry, Mapping) for name in entry if name in LOSSES)


def translate_losses(loss: Section, roles: Roles) -> tuple[list[dict], set[str]]:
    """Loss.Train of 2.x as native terms, and the names of the frozen models that teach.

    Raises:
        InputError: a loss without a method here, models that do not exist, or no loss that is left.
    """
    loss.drop("evaluation measures accuracy, no loss", "Eval")
    entries = loss.entries("Train")
    loss.close()
    terms: list[dict] = []
    teachers: set[str] = set()
    for place, entry in enumerate(entries):
        name, options = named_entry(loss.translation, entry, f"Loss.Train[{place}]")
        found = _terms(name, options, roles, teachers, single=len(entries) == 1)
        if found:
            loss.translation.renamed[f"Loss.Train.{place}.{name}"] = f"Loss.Train.{len(terms)}.{LOSSES[name].native}"
        terms += found
    if not terms:
        raise InputError(f"{loss.where}.Train: no loss is left that trains {roles.student}.")
    return terms, teachers


def _terms(name: str, options: Section, roles: Roles, teachers: set[str], single: bool) -> list[dict]:
    """The native terms of one entry: one for each pair of models."""
    loss = _loss(name, options.where)
    options.only("key", _LOGITS, "only the logits are compared here, not features.")
    options.drop("names a line of PaddleClas's log", "name")
    weight = options.take("weight", 1.0)
    native = {"weight": weight, **loss.fixed}
    for old, (new, default) in loss.options.items():
        value = options.take(old, default)
        if value is not None and not (old == "epsilon" and value in (0, -1)):
            native[new] = value
    for key, (harmless, why) in loss.only.items():
        options.only(key, harmless, why)
    count = _count_labels(options, roles) if loss.labels else _count_pairs(options, loss, roles, teachers, single)
    options.close()
    if single and count and weight != 1:
        options.translation.change(f"{options.path}.weight {weight} counts; PaddleClas ignored the weight of a single loss.")
    return [{loss.native: dict(native)} for _ in range(count)]


def _loss(name: str, where: str) -> Loss:
    """The row of a loss whose method exists."""
    usable = [old for old, loss in LOSSES.items() if loss.native in METHODS.names()]
    if name in usable:
        return LOSSES[name]
    hint = f"There are methods for {', '.join(usable)}." if name in (*LOSSES, *_WITHOUT_METHOD) else nearest(name, usable)
    if name in _WITHOUT_METHOD and name in METHODS.names():
        raise InputError(f"{where}: PaddleClas's loss '{name}' is not translated, since the method of that name here has other "
                         "options. Write the config in its native form; docs/methods/ describes the method.")
    raise InputError(f"{where}: there is no method for PaddleClas's loss '{name}' here. {hint}")


def _count_labels(options: Section, roles: Roles) -> int:
    """How many terms a loss on labels makes: one for the student, none for a frozen model."""
    names = options.entries("model_names") or [roles.student]
    for name in names:
        _check_model(name, options, "model_names", roles)
        if name != roles.student:
            options.translation.drop(f"{options.path}.model_names {name}", "that model is frozen, so the loss teaches nobody")
    return names.count(roles.student)


def _count_pairs(options: Section, loss: Loss, roles: Roles, teachers: set[str], single: bool) -> int:
    """How many terms a loss between models makes: one for each pair of student and teacher."""
    pairs = options.take("model_name_pairs")
    if not isinstance(pairs, list) or not pairs or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise InputError(f"{options.where}.model_name_pairs must be a list of [student, teacher] pairs, not {pairs!r}.")
    for pair in pairs:
        for name in pair:
            _check_model(name, options, "model_name_pairs", roles)
        learner, teacher = pair if pair[0] == roles.student or not loss.symmetric else pair[::-1]
        if learner != roles.student or teacher == roles.student:
            raise InputError(f"{options.where}: in the pair {pair} nobody learns from a frozen model. The first is who learns "
                             f"({roles.student}), the second its teacher ({' or '.join(roles.frozen) or 'none is frozen'}).")
        teachers.add(teacher)
    if single and len(pairs) > 1:
        options.translation.change(f"all {len(pairs)} pairs of {options.path} count; PaddleClas took the first alone.")
    return len(pairs)


def _check_model(name, options: Section, key: str, roles: Roles) -> None:
    names = (roles.student, *roles.frozen)
    if name not in names:
        raise InputError(f"{options.where}.{key}: there is no model '{name}'. {nearest(str(name), names)}")
