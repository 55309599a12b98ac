"""The student of a run, alone and ready for other people's tasks."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from paddle import nn

from dedup.files import atomic_write, sha256_file, write_json

from .. import __version__
from ..errors import InputError
from ..models.stages import stages_of
from ..models.weights import save_weights
from .inference import FILES, export_inference
from .multipliers import L2, multipliers

WEIGHTS, TRANSFER, CARD = "student.pdparams", "transfer.yaml", "card.json"


def export_student(network: nn.Layer, arch: Mapping, folder: str | Path, size: tuple[int, int], source: Mapping,
                   use: str = "classification") -> list[Path]:
    """Write a student's weights, its static inference model, and how to fine-tune it.

    Args:
        network: with its weights loaded.
        arch: name, class_num and options of the backbone, as in Arch.student.
        folder: for student.pdparams (PaddleClas's key names), inference.json + .pdiparams (logits), transfer.yaml
            (a config to start a transfer from, with learning-rate multipliers per stage) and card.json.
        size: height and width of the input, pixels.
        source: what to note on the card: weights file, config, accuracy.
        use: what the multipliers are for, classification or detection.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written, or the inference model differs from the network.
    """
    folder = Path(folder)
    difference = export_inference(network, folder, size)
    save_weights(network, folder / WEIGHTS)
    with atomic_write(folder / TRANSFER) as out:
        out.write(transfer_yaml(network, arch, folder / WEIGHTS, use))
    files = [WEIGHTS, *FILES, TRANSFER]
    write_json(folder / CARD, {
        "ssld": __version__, "backbone": arch["name"], "class_num": arch["class_num"], "input": [3, *size],
        "tensors": len(network.state_dict()), "parameters": sum(int(p.size) for p in network.parameters()
                                                               if not p.name.endswith(("_mean", "_variance"))),
        "inference_difference": difference, "source": dict(source),
        "sha256": {name: sha256_file(folder / name) for name in files}})
    return [folder / name for name in (*files, CARD)]


def transfer_yaml(network: nn.Layer, arch: Mapping, weights: Path, use: str) -> str:
    """A config whose `_BASE_` or beginning a transfer run takes: the student with its multipliers, and its l2."""
    try:
        stages = stages_of(network)
    except InputError as error:
        return (f"# {error}\n" + yaml.safe_dump({"Arch": {"student": {**arch, "pretrained": str(weights)}}}, sort_keys=False))
    values, remark = multipliers(stages.family, len(stages.groups), use)
    student = {**arch, "pretrained": str(weights), "lr_mult_list": values}
    content = {"Arch": {"student": student}, "Optimizer": {"regularizer": {"name": "L2", "coeff": L2.get(stages.family, 1e-4)}}}
    groups = "".join(f"#   {value:<5} {' '.join(prefixes)}\n" for value, prefixes in zip(values, stages.groups))
    return (f"# Fine-tuning the distilled {arch['name']}: the learning rate of each stage is multiplied by\n{groups}"
            f"#   1     everything else, the classifier ({stages.classifier}) included\n"
            f"# {remark}. Set class_num to your task's and retune l2 for it.\n"
            + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100))
