"""A student as the backbone of a PaddleDetection model: renamed weights, and the YAML that reads them."""
from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from paddle import nn

from dedup.files import atomic_write

from ..errors import InputError
from ..models.weights import write_state
from ..models.zoo import build_network
from .detection_names import DetectionNames, detection_names
from .multipliers import L2, multipliers

DETECTION, FRAGMENT = "student_det.pdparams", "paddledetection.yml"
_TRAINING_ONLY = ("drop_path", "zero_init_last", "dropout_prob")


def write_detection(network: nn.Layer, arch: Mapping, folder: Path, home: Path, use: str = "detection") -> dict[str, dict]:
    """Write student_det.pdparams and paddledetection.yml.

    Args:
        network: with its weights.
        arch: name, class_num and options of the backbone.
        folder: to write into.
        home: where the files will be found, for the YAML.
        use: what the multipliers are for, classification or detection.

    Returns:
        student_det.pdparams -> {"tensors": how many it holds, "dropped": names}.

    Raises:
        InputError: the backbone has no names there, or a tensor of the detector's backbone is missing or of another shape.
    """
    names, state = detection_names(arch["name"]), network.state_dict()
    renamed, dropped = names.rename(state)
    _check_shapes(names, arch, state)
    with atomic_write(folder / DETECTION, "wb") as out:
        write_state(renamed, out)
    with atomic_write(folder / FRAGMENT) as out:
        out.write(fragment(names, arch["name"], home / DETECTION, use))
    return {DETECTION: {"tensors": len(renamed), "dropped": dropped}}


def fragment(names: DetectionNames, backbone: str, weights: Path, use: str = "detection") -> str:
    """The YAML that a PaddleDetection config takes among its `_BASE_` files, last.

    PaddleDetection has no multiplier for the stem of a ResNet, so the first of SSLD's five values is left out there.
    """
    values, remark = multipliers(names.section, 5, use)
    resnet = names.section == "ResNet"
    section = {**names.options, "lr_mult_list": values[1:] if resnet else values}
    decay = L2[names.section]
    if not resnet:
        section["conv_decay"] = decay
    content = {"pretrain_weights": str(weights), names.section: section,
               "OptimizerBuilder": {"optimizer": {"momentum": 0.9, "type": "Momentum"},
                                    "regularizer": {"factor": decay, "type": "L2"}}}
    stages = ("res2 to res5; the stem has none there, and stands still with res2 while freeze_at is 0" if resnet
              else "conv1 with three blocks, then three blocks a value")
    more = "" if resnet else "# In this backbone l2 is conv_decay: PaddleDetection's regularizer does not reach it.\n"
    return (f"# The distilled {backbone} as the backbone of a PaddleDetection model: name this file last in _BASE_.\n"
            f"# lr_mult_list, {stages}: {remark}.\n{more}"
            "# Retune l2 for the task.\n" + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100))


def _check_shapes(names: DetectionNames, arch: Mapping, state: Mapping) -> None:
    """Refuse what PaddleDetection, which builds the backbone by its name alone, would skip in silence."""
    ordinary = build_network(arch["name"], arch["class_num"]).state_dict()
    odd = [f"{name} is {tuple(state[name].shape)}, there {tuple(ordinary[name].shape)}" for name in names.mapping
           if tuple(state[name].shape) != tuple(ordinary[name].shape)]
    if odd:
        raise InputError(f"PaddleDetection builds {arch['name']} without the options of this student, so {len(odd)} tensors "
                         f"would not fit, such as: {odd[0]}. Nothing was written.")
    options = sorted(set(arch) - {"name", "class_num", *_TRAINING_ONLY})
    if options:
        print(f"warning: PaddleDetection builds {arch['name']} without {', '.join(options)}, which this student was trained "
              "with; its features will differ", file=sys.stderr)
