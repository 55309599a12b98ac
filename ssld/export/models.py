"""The static models of an export."""
from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from paddle import nn

from .comparison import Exported, compare, in_batches, network_logits
from .inference import PREFIX, write_inference
from .int8 import INT8, export_int8
from .onnx import ENGINE, ONNX, export_onnx, onnx_program

INFERENCE = "inference"
_FEW = 0.95                     # int8 models that agree with the network on less than this share of images are warned of


def write_models(network: nn.Layer, folder: Path, images: np.ndarray, also: Sequence[str] = (),
                 calibration: Callable[[], np.ndarray] | None = None) -> dict[str, Exported]:
    """Write the static model, and an ONNX file and one in 8-bit integers where `also` names them.

    Args:
        network: is put into evaluation mode.
        folder: to write into.
        images: to compare the models on, float32 [B, 3, H, W].
        also: "onnx", "int8"; others are not meant here.
        calibration: gives the images that int8 is calibrated on.

    Returns:
        Format -> what was written.

    Raises:
        InputError: a model cannot be made, or differs from the network.
    """
    expected = network_logits(network, images)
    models = {INFERENCE: write_inference(network, folder, images, expected)}
    if {"onnx", "int8"} & set(also):
        models["onnx"] = export_onnx(folder / PREFIX, folder / ONNX, images, expected)
    if "int8" in also:
        models["int8"] = _int8(folder, images, expected, calibration())
    if "onnx" not in also and models.pop("onnx", None):
        (folder / ONNX).unlink()
    return models


def _int8(folder: Path, images: np.ndarray, expected: np.ndarray, calibration: np.ndarray) -> Exported:
    export_int8(folder / ONNX, folder / INT8, calibration)
    program = onnx_program(folder / INT8, expected.shape[1])
    compared = compare(expected, in_batches(program, images))
    if compared.same_top1 < _FEW:
        print(f"warning: {INT8} gives the network's class to {100 * compared.same_top1:.1f} % of {len(images)} images only; "
              "look at its accuracy before it is used", file=sys.stderr)
    return Exported(ENGINE, program, compared)
