"""Arch of 2.x: one network, or a DistillationModel of several."""
from __future__ import annotations

from typing import Any

from ..checks import positive_int
from ..errors import InputError
from .losses import Roles, has_labels
from .section import Section, named_entry

DISTILLATION = "DistillationModel"
_CLASSES = 1000                 # PaddleClas's default
_EXPORT = "the student alone is exported, and the exported model gives logits"
TEACHER_STATISTICS = ("the teacher's batch norm uses its own running statistics, which stand still; PaddleClas used those of "
                      "each batch (-o Arch.teacher.batch_norm=batch).")
_SYNC = "batch norm keeps the statistics of each process here."


def network(options: Section, class_num: int, file: str | None = None, frozen: bool = False) -> dict:
    """A backbone with its options in the native form.

    Args:
        options: the old options.
        class_num: where the options do not say.
        file: weights that are named elsewhere; they win.
        frozen: it is a teacher.
    """
    native: dict[str, Any] = {"name": options.text("name"),
                              "class_num": positive_int(f"{options.where}.class_num", options.take("class_num", class_num))}
    if not native["name"]:
        raise InputError(f"{options.where} needs the option 'name'.")
    native.update(_weights(options, file))
    options.only("use_sync_bn", (False,), _SYNC)
    options.drop("features are taken by name where a method needs them", "return_patterns", "return_stages")
    if frozen:
        options.drop("a teacher does not train", "lr_mult_list")
    return {**native, **options.rest()}


def _weights(options: Section, file: str | None) -> dict:
    """pretrained (false, true or a path) and use_ssld, which has a meaning beside `true` alone."""
    own, use_ssld = options.take("pretrained", False), options.flag("use_ssld")
    pretrained = file or own
    if not isinstance(pretrained, (bool, str)):
        raise InputError(f"{options.where}.pretrained must be true, false or a path, not {pretrained!r}.")
    published = use_ssld and pretrained is True
    if use_ssld and not published:
        options.translation.drop(options.place("use_ssld"), "it chooses among published weights (pretrained: true)")
    return {**({"pretrained": pretrained} if pretrained else {}), **({"use_ssld": True} if published else {})}


def plain(arch: Section, class_num: int | None, checkpoint: str) -> dict:
    """The native Arch of a file without teacher; see Models for the arguments."""
    arch.drop(_EXPORT, "infer_output_key", "infer_add_softmax")
    names = {"Arch": "Arch.student", "Arch.student": "Arch.student", "Arch.teacher": "Arch.teacher"}
    arch.translation.renamed.update({**names, "Global.pretrained_model": "Arch.student.pretrained"})
    return {"student": network(arch, class_num or _CLASSES, checkpoint)}


class Models:
    """The models of a DistillationModel.

    Args:
        arch: the Arch section.
        train: Loss.Train as it stands; a file where several models train is refused in words that depend on it.
        class_num: Global.class_num.

    Raises:
        InputError: no student, more than one, or lists that do not fit the models.
    """

    def __init__(self, arch: Section, train, class_num: int | None):
        self.arch, self.translation = arch, arch.translation
        entries = arch.entries("models")
        self.sections = [named_entry(self.translation, entry, f"Arch.models[{i}]") for i, entry in enumerate(entries)]
        if not entries:
            raise InputError(f"{arch.where} needs 'models', a list such as '- Teacher: {{name: ResNet50_vd}}'.")
        self.class_num = self._shared_class_num(class_num)
        frozen = self._per_model("freeze_params_list", (bool,), "true or false", False)
        self.files = self._per_model("pretrained_list", (str, type(None)), "a path or null", None)
        for key in ("infer_model_name", "infer_output_key", "infer_add_softmax"):
            arch.drop(_EXPORT, key)
        arch.only("use_sync_bn", (False,), _SYNC)
        arch.close()
        self.roles = self._roles(frozen, has_labels(train))

    def native(self, teachers: set[str], checkpoint: str) -> dict:
        """The native Arch.

        Args:
            teachers: names of the frozen models that a loss compares with.
            checkpoint: Global.pretrained_model, a file of all models; "" is none.
        """
        if len(teachers) > 1:
            raise InputError(f"{self.arch.where}: {' and '.join(sorted(teachers))} all teach, but one teacher is supported. "
                             "Keep one in model_name_pairs.")
        arch: dict[str, dict] = {}
        for (name, options), file in zip(self.sections, self.files):
            if name not in (self.roles.student, *teachers):
                self.translation.drop(options.path, "frozen, and no loss compares with it")
                continue
            role = "student" if name == self.roles.student else "teacher"
            self.translation.renamed[options.path.replace("[", ".").replace("]", "")] = f"Arch.{role}"
            arch[role] = network(options, self.class_num, checkpoint or file, frozen=role == "teacher")
            if checkpoint:
                arch[role]["pretrained_part"] = role.capitalize()
        if "teacher" in arch:
            self.translation.change(TEACHER_STATISTICS)
        return {role: arch[role] for role in ("student", "teacher") if role in arch}

    def _shared_class_num(self, class_num: int | None) -> int:
        """class_num beside the models, for those that do not say."""
        shared = self.arch.take("class_num", class_num or _CLASSES)
        silent = [name for name, options in self.sections if options.left.get("class_num") is None]
        if shared != _CLASSES and silent:
            self.translation.change(f"class_num {shared} counts for {' and '.join(silent)} too; PaddleClas gave models without "
                                    f"one of their own {_CLASSES} classes.")
        return shared

    def _per_model(self, key: str, kinds: tuple, expected: str, default) -> list:
        """A list with one entry for each model; absent or null is the default for all."""
        values = self.arch.entries(key) or [default] * len(self.sections)
        if len(values) != len(self.sections) or not all(isinstance(value, kinds) for value in values):
            raise InputError(f"{self.arch.where}.{key} must hold {expected} for each of the {len(self.sections)} models, not "
                             f"{values!r}.")
        return values

    def _roles(self, frozen: list, labels: bool) -> Roles:
        names = [name for name, _ in self.sections]
        if len(set(names)) < len(names):
            raise InputError(f"{self.arch.where}.models: two models have the same name: {', '.join(names)}.")
        trained = [name for name, held in zip(names, frozen) if not held]
        if not trained:
            raise InputError(f"{self.arch.where}.freeze_params_list freezes every model: nobody learns.")
        if len(trained) > 1:
            why = ("models that teach each other are not supported" if labels else
                   "without a loss on labels they would agree on the same constant answer for every picture")
            raise InputError(f"{self.arch.where}: {' and '.join(trained)} all train, but {why}. Freeze the teacher: "
                             "freeze_params_list: true for it, false for the student.")
        return Roles(trained[0], tuple(name for name in names if name != trained[0]))
