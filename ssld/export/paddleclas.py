"""A student for PaddleClas and for this package's own training: its weights, and a config to fine-tune it from."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from paddle import nn

from dedup.files import atomic_write

from ..errors import InputError
from ..models.stages import stages_of, starts_with
from ..models.weights import write_state
from .multipliers import L2, multipliers

WEIGHTS, TRANSFER = "student.pdparams", "transfer.yaml"


def write_weights(network: nn.Layer, folder: Path, classifier: bool = True) -> dict[str, dict]:
    """Write student.pdparams under PaddleClas's key names.

    Args:
        network: with its weights.
        folder: to write into.
        classifier: whether the last linear layer is written too.

    Returns:
        student.pdparams -> {"tensors": how many it holds, "dropped": names}.

    Raises:
        InputError: which layer is the classifier is not known, for a backbone without a row in `ssld.models.stages`.
    """
    state = network.state_dict()
    last = None if classifier else stages_of(network).classifier
    dropped = [name for name in state if last and starts_with(name, last)]
    kept = {name: tensor for name, tensor in state.items() if name not in dropped}
    with atomic_write(folder / WEIGHTS, "wb") as out:
        write_state(kept, out)
    return {WEIGHTS: {"tensors": len(kept), "dropped": dropped}}


def write_transfer(network: nn.Layer, arch: Mapping, folder: Path, home: Path, use: str = "classification",
                   need_multipliers: bool = False) -> None:
    """Write transfer.yaml, a config that starts a transfer from student.pdparams in `home`.

    Args:
        network: with its weights.
        arch: name, class_num and options of the backbone.
        folder: to write into.
        home: where the files will be found.
        use: what the multipliers are for, classification or detection.
        need_multipliers: a backbone without a row in `ssld.models.stages` is an error; otherwise the file says so.
    """
    try:
        text = transfer_yaml(network, arch, home / WEIGHTS, use)
    except InputError as error:
        if need_multipliers:
            raise
        student = {**arch, "pretrained": str(home / WEIGHTS)}
        text = f"# {error}\n" + yaml.safe_dump({"Arch": {"student": student}}, sort_keys=False)
    with atomic_write(folder / TRANSFER) as out:
        out.write(text)


def transfer_yaml(network: nn.Layer, arch: Mapping, weights: Path, use: str = "classification") -> str:
    """A config whose `_BASE_` or beginning a transfer run takes: the student with its multipliers, and its l2.

    Raises:
        InputError: the backbone has no row in `ssld.models.stages`; names the beginnings of its parameters' names.
    """
    stages = stages_of(network)
    values, remark = multipliers(stages.family, len(stages.groups), use)
    student = {**arch, "pretrained": str(weights), "lr_mult_list": values}
    content = {"Arch": {"student": student}, "Optimizer": {"regularizer": {"name": "L2", "coeff": L2.get(stages.family, 1e-4)}}}
    groups = "".join(f"#   {value:<5} {' '.join(prefixes)}\n" for value, prefixes in zip(values, stages.groups))
    return (f"# Fine-tuning the distilled {arch['name']}: the learning rate of each stage is multiplied by\n{groups}"
            f"#   1     everything else, the classifier ({stages.classifier}) included\n"
            f"# {remark}. Set class_num to your task's, with new_classifier: true, and retune l2 for it.\n"
            + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100))
