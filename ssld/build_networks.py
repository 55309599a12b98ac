"""From the section Arch of a config to networks with their weights."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paddle import nn

from .config import Config
from .errors import InputError, located
from .models.stages import stages_of
from .models.weights import load_weights
from .models.zoo import build_network, find_builder, published_weights
from .optim.param_groups import apply_lr_multipliers
from .registry import check_keys

SOURCES = ("live", "stored", "onnx")                             # of a teacher's answers
VIEW_KEYS = ("size", "interpolation", "mean", "std")            # how a teacher sees crops when it labels them
STORED_KEYS = ("source", "path", "crops_per_image", "policy", "kind", "k", "one_crop_epochs", "tail", "tail_ahead", "ferkd")
_HOW_IT_RUNS = ("engine", "batch_norm", "min_top1")
_WEIGHTS = ("pretrained", "use_ssld", "pretrained_part", "new_classifier")


def build_student(config: Config, load: bool = True) -> nn.Layer:
    """Arch.student: the network, with its weights if `pretrained` says so, and its learning-rate multipliers.

    Keys: name, class_num, pretrained (false, a path, or true: PaddleClas's published weights), pretrained_part ("Student"
    or "Teacher", where a file holds both), new_classifier (true: all of the file is loaded but the last layer, which stays
    random, for a task of other classes), trainable (prefixes; see ssld.models.freeze), engine (eager, or onednn: on CPU its
    wider convolutions train through oneDNN; see ssld.models.onednn), lr_mult_list, and whatever the backbone takes.
    """
    options = network_options(config, "student")
    multipliers = options.pop("lr_mult_list", None)
    for key in ("trainable", "engine"):
        options.pop(key, None)
    network, _ = _network(options, config.where("Arch", "student"), load)
    if multipliers is not None:
        with located(config.where("Arch", "student")):
            apply_lr_multipliers(network, multipliers)
    return network


def build_frozen_network(config: Config) -> nn.Layer:
    """The network of Arch.teacher with its weights.

    Raises:
        InputError: no weights are given, or they do not fit.
    """
    return frozen_network(config)[0]


def frozen_network(config: Config, load: bool = True) -> tuple[nn.Layer, Path | None]:
    """The network of Arch.teacher, and the file of its weights; with `load` false its weights are random."""
    where, options = config.where("Arch", "teacher"), network_options(config, "teacher")
    for key in (*_HOW_IT_RUNS, *VIEW_KEYS, *STORED_KEYS):
        options.pop(key, None)
    if not options.get("pretrained"):
        raise InputError(f"{where} needs 'pretrained', the path of the teacher's weights: a frozen teacher with random "
                         "weights would teach noise.")
    return _network(options, where, load)


def check_live_keys(config: Config) -> None:
    """Refuse misspelt keys of Arch.teacher where a store of labels is used in place of the network that it also names."""
    where, options = config.where("Arch", "teacher"), network_options(config, "teacher")
    for key in (*_HOW_IT_RUNS, *_WEIGHTS, *VIEW_KEYS, *STORED_KEYS):
        options.pop(key, None)
    find_builder(where=where, **options)


def network_options(config: Config, part: str) -> dict[str, Any]:
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
    part, new_classifier = options.pop("pretrained_part", None), options.pop("new_classifier", False)
    network, file = build_network(where=where, **options), None
    if pretrained and load:
        with located(f"{where}.pretrained"):
            wanted = published_weights(options["name"], use_ssld) if pretrained is True else pretrained
            file = load_weights(network, wanted, part, stages_of(network).classifier if new_classifier else None)
    return network, file
