"""A network as a static inference model."""
from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from dedup.files import sync_folder

from ..errors import InputError
from ..teachers.eager import freeze
from ..teachers.onednn import OneDNNProgram, export_program

FILES = ("inference.json", "inference.pdiparams")
_TOLERANCE = 1e-4               # of the largest logit; float32 rounding in another order of summation


def export_inference(network: nn.Layer, folder: str | Path, size: tuple[int, int]) -> float:
    """Write inference.json and inference.pdiparams: images float32 [-1, 3, height, width] -> logits, and compare them.

    Args:
        network: is put into evaluation mode.
        folder: for the two files, which appear only when they are whole.
        size: height and width of the input, pixels.

    Returns:
        Largest difference to the network's own logits, relative to the largest logit.

    Raises:
        InputError: the folder cannot be written, or the exported model answers differently.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
            export_program(freeze(network), Path(temporary) / "inference", size)
            difference = _difference(network, Path(temporary) / "inference", size)
            if not difference <= _TOLERANCE:
                raise InputError(f"the exported model differs from the network by {difference:.2g} of the largest logit, more "
                                 f"than {_TOLERANCE}. Nothing was written.")
            for name in FILES:
                os.replace(Path(temporary) / name, folder / name)
        sync_folder(folder)
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return difference


def _difference(network: nn.Layer, prefix: Path, size: tuple[int, int]) -> float:
    image = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
    with paddle.no_grad():
        own = network(paddle.to_tensor(image)).numpy()
    exported = OneDNNProgram(prefix)(image)
    return float(np.abs(exported - own).max() / max(np.abs(own).max(), 1e-12))
