"""The student of a run, alone and ready for other people's tasks: every file of an export, and their card."""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

import numpy as np
from paddle import nn

from dedup.files import sha256_file

from .. import __version__
from ..describe.count import parameter_count
from ..train.evaluate import Evaluation
from .card import Card, write_card
from .comparison import Program
from .detection import write_detection
from .folder import filled
from .models import INFERENCE, write_models
from .packages import need_packages
from .paddleclas import write_transfer, write_weights
from .safetensors import write_safetensors

USES = ("classification", "detection")
TARGETS = ("paddleclas", "paddledetection")


@dataclass(frozen=True)
class Student:
    """A trained network and what its card says of it.

    Attributes:
        network: with its weights.
        arch: name, class_num and options of the backbone, as in Arch.student.
        source, preprocess, class_names: see `ssld.export.card.Card`.
    """

    network: nn.Layer
    arch: Mapping
    source: Mapping = field(default_factory=dict)
    preprocess: Optional[list] = None
    class_names: Optional[list] = None

    def card(self, folder: Path, weights: Mapping, **measured: Any) -> Card:
        """The card of the files in `folder`."""
        return Card(__version__, self.arch["name"], dict(self.arch), self.arch["class_num"], len(self.network.state_dict()),
                    int(parameter_count(self.network)), self.source,
                    {file.name: sha256_file(file) for file in sorted(folder.iterdir())}, weights,
                    preprocess=self.preprocess, class_names=self.class_names, **measured)


def export_student(student: Student, folder: str | Path, images: np.ndarray, use: str | None = None, also: Sequence[str] = (),
                   calibration: Callable[[], np.ndarray] | None = None,
                   evaluate: Callable[[str, Program], Evaluation] | None = None) -> list[Path]:
    """Write a student's weights, its static models, and how to fine-tune it: all of it, or nothing.

    student.pdparams (PaddleClas's key names), inference.json + .pdiparams (logits), transfer.yaml (a config to start a
    transfer from, with learning-rate multipliers per stage) and card.json are always written.

    Args:
        student: what is exported.
        folder: for the files, which take the place of an earlier export.
        images: of the evaluation, to compare the static models on, float32 [B, 3, H, W]; the models take this size.
        use: what the multipliers are for, classification or detection; default: classification in transfer.yaml, detection
            in paddledetection.yml.
        also: further formats, of `ssld.export.packages.ALSO`.
        calibration: gives the images that int8 is calibrated on.
        evaluate: measures the accuracy of a model, given its format and program; without it the card has none.

    Returns:
        The files written.

    Raises:
        InputError: a package is missing; the folder cannot be written; a format cannot hold this network; or a static model
            differs from it.
    """
    for name in also:
        need_packages(name)
    with filled(folder) as new:
        weights = _write_weights(student, new, Path(folder), use, also)
        models = write_models(student.network, new, images, also, calibration)
        accuracy = {name: evaluate(name, model.program)._asdict() for name, model in models.items()} if evaluate else {}
        write_card(new, student.card(
            new, weights, input=list(images.shape[1:]), engine=models[INFERENCE].engine, images_compared=len(images),
            difference={name: model.compared.difference for name, model in models.items()},
            same_top1={name: model.compared.same_top1 for name, model in models.items()}, accuracy=accuracy))
        return _files(new, folder)


def export_for_transfer(student: Student, folder: str | Path, targets: Sequence[str] = TARGETS[:1], use: str | None = None,
                        classifier: bool = True) -> list[Path]:
    """Write what a transfer needs: weights, learning-rate multipliers and l2. No image is looked at.

    Args:
        student: what is exported.
        folder: for the files, which take the place of an earlier export.
        targets: "paddleclas" (student.pdparams and transfer.yaml), "paddledetection" (student_det.pdparams and
            paddledetection.yml).
        use: see `export_student`.
        classifier: whether student.pdparams holds the last linear layer.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written; the stages of the backbone are not known; or it has no names in
            PaddleDetection.
    """
    with filled(folder) as new:
        weights: dict = {}
        if "paddleclas" in targets:
            weights.update(write_weights(student.network, new, classifier))
            write_transfer(student.network, student.arch, new, Path(folder), use or USES[0], need_multipliers=True)
        if "paddledetection" in targets:
            weights.update(write_detection(student.network, student.arch, new, Path(folder), use or USES[1]))
        write_card(new, student.card(new, weights))
        return _files(new, folder)


def _write_weights(student: Student, new: Path, folder: Path, use: str | None, also: Sequence[str]) -> dict[str, dict]:
    """The files with weights, and the YAML beside them; which tensors each holds."""
    network, arch = student.network, student.arch
    weights = write_weights(network, new)
    write_transfer(network, arch, new, folder, use or USES[0])
    if "safetensors" in also:
        weights.update(write_safetensors(network, arch, new))
    if "detection" in also:
        weights.update(write_detection(network, arch, new, folder, use or USES[1]))
    return weights


def _files(new: Path, folder: str | Path) -> list[Path]:
    return [Path(folder) / name for name in sorted(file.name for file in new.iterdir())]
