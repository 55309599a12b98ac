"""A network as a static inference model."""
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from ..teachers.eager import freeze
from ..teachers.onednn import OneDNNProgram, export_program
from .comparison import TOLERANCE, Exported, Program, check_equal, compare, in_batches, network_logits
from .folder import filled

PREFIX = "inference"
FILES = (f"{PREFIX}.json", f"{PREFIX}.pdiparams")
ONEDNN, NATIVE = "onednn_fp32", "native"        # what runs a static model on the CPU


def export_inference(network: nn.Layer, folder: str | Path, size: tuple[int, int]) -> float:
    """Write inference.json and inference.pdiparams: images float32 [-1, 3, height, width] -> logits, and compare them.

    Args:
        network: is put into evaluation mode.
        folder: for the two files, which appear only when they are whole.
        size: height and width of the input, pixels.

    Returns:
        Largest difference to the network's own logits on noise, relative to the largest logit.

    Raises:
        InputError: the folder cannot be written, or the exported model answers differently.
    """
    noise = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    with filled(folder) as temporary:
        return write_inference(network, temporary, noise, network_logits(network, noise)).compared.difference


def write_inference(network: nn.Layer, folder: Path, images: np.ndarray, expected: np.ndarray) -> Exported:
    """Write the two files for images of this size, any number of them, and compare what they answer.

    oneDNN runs the model where it answers as the network does, and Paddle's own kernels where only these do.

    Args:
        network: is put into evaluation mode.
        folder: to write into.
        images: float32 [B, 3, H, W].
        expected: the network's logits for them, float32 [B, class_num].

    Raises:
        InputError: the exported model answers differently.
    """
    prefix = folder / PREFIX
    export_program(freeze(network), prefix, images.shape[2:])
    program = OneDNNProgram(prefix)
    compared = compare(expected, in_batches(program, images))
    if compared.difference <= TOLERANCE:
        return Exported(ONEDNN, program, compared)
    program = native_program(prefix)
    exact = check_equal("the exported inference model", expected, in_batches(program, images))
    print(f"warning: oneDNN differs from this network by {compared.difference:.2g} of the largest logit; Paddle's own kernels "
          "do not. Run the static model without it: disable_mkldnn() of paddle.inference.Config.", file=sys.stderr)
    return Exported(NATIVE, program, exact)


def native_program(prefix: str | Path) -> Program:
    """A static model (`prefix.json` + `prefix.pdiparams`) run by Paddle's own kernels."""
    model = paddle.jit.load(str(prefix))
    model.eval()
    return lambda images: model(paddle.to_tensor(images)).numpy()
