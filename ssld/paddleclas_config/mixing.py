"""Mixup and CutMix of old files: batch_transform_ops of 2.x, use_mix with TRAIN.mix of 1.x."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.mix import SAMPLER
from ..errors import InputError
from .section import Section, named_entry

_ALPHAS_1X = {"MixupOperator": 0.2, "CutmixOperator": 0.2}              # what PaddleClas took where a file does not say
_ALPHAS_2X = {"MixupOperator": 1.0, "CutmixOperator": 0.2}
_SOFTMAX = ("the label of a mixed picture is that of both, by their shares; PaddleClas's CELoss put a softmax over it where "
            "epsilon was not set, which made it nearly uniform.")


def mixing_2x(dataset: Section, mode: str) -> dict:
    """batch_transform_ops of a dataset in the native form; {} where nothing is mixed.

    Args:
        dataset: section of the old file.
        mode: Train or Eval.

    Raises:
        InputError: an operator that does not exist here, or one in evaluation.
    """
    ops = dataset.entries("batch_transform_ops")
    if not ops:
        return {}
    if mode != "Train":
        raise InputError(f"{dataset.where}.batch_transform_ops: pictures are mixed in training only. Remove it.")
    dataset.translation.change(_SOFTMAX)
    return _native(dataset, "batch_transform_ops", ops, _ALPHAS_2X)


def mixing_1x(train: Section, use_mix: bool) -> dict:
    """TRAIN.mix as batch_transform_ops; {} where use_mix is off.

    Raises:
        InputError: an operator that does not exist here, or none.
    """
    if not use_mix:
        train.drop("pictures are not mixed (use_mix is off)", "mix")
        return {}
    ops = train.entries("mix")
    if not ops:
        raise InputError(f"{train.where}.mix is empty, but use_mix is true. Say how to mix, such as '- MixupOperator: "
                         "{alpha: 0.2}', or set use_mix: false.")
    return _native(train, "mix", ops, _ALPHAS_1X)


def _native(section: Section, key: str, ops: list, alphas: Mapping[str, float]) -> dict:
    entries = [named_entry(section.translation, op, f"{section.place(key)}[{place}]") for place, op in enumerate(ops)]
    return {"batch_transform_ops": [{name: _options(name, options, alphas)} for name, options in entries]}


def _options(name: str, options: Section, alphas: Mapping[str, float]) -> dict[str, Any]:
    """The options of one operator, or the operators of an OpSampler."""
    if name not in (SAMPLER, *alphas):
        raise InputError(f"{options.where}: {name} mixes pictures in a way that does not exist here. Known: "
                         f"{', '.join((SAMPLER, *alphas))}.")
    options.drop("losses mix the labels, which need no one-hot form", "class_num")
    if name != SAMPLER:
        return {"alpha": options.take("alpha", alphas[name]), **options.rest()}
    return {inner: _options(inner, Section(options.translation, value, options.place(inner)), alphas)
            for inner, value in options.rest().items()}
