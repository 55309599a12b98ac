"""An exported network, ready to be asked: the static model, an ONNX file, or the weights themselves."""
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..checks import one_of
from ..errors import InputError
from ..export.card import Card, read_card
from ..export.comparison import Program, network_logits
from ..export.inference import FILES, NATIVE, ONEDNN, PREFIX, native_program
from ..export.onnx import ONNX, onnx_program
from ..export.paddleclas import WEIGHTS
from ..models.weights import load_weights
from ..models.zoo import build_network
from ..teachers.onednn import OneDNNProgram, runs_bf16

ENGINES = ("auto", ONEDNN, "onednn_bf16", NATIVE, "eager", "onnx")
_ONNX_SUFFIX = ".onnx"


class Model(NamedTuple):
    """A network and what is known of it.

    Attributes:
        card: of its folder.
        engine: how it is run.
        logits: normalised images float32 [B, 3, H, W] -> float32 [B, class_num].
    """

    card: Card
    engine: str
    logits: Program


def open_model(place: str | Path, engine: str = "auto") -> Model:
    """The network in an exported folder, or one of its ONNX files.

    Args:
        place: folder of `ssld export`, or an ONNX file in it.
        engine: auto takes the static model by what its card says, which is oneDNN in float32 for nearly all networks, and an
            ONNX file by ONNX Runtime; eager takes the weights, on the device that was chosen.

    Raises:
        InputError: no such folder, no card in it, a file that differs from the card; an engine that cannot run here.
    """
    place = Path(place)
    one_of("engine", engine, ENGINES)
    is_onnx = place.suffix == _ONNX_SUFFIX
    if not place.exists() or (place.is_file() and not is_onnx):
        raise InputError(f"there is no model at {place}. Give the folder that `ssld export` wrote, or an ONNX file in it.")
    if is_onnx and engine not in ("auto", "onnx"):
        raise InputError(f"{place} is an ONNX file; engine {engine} cannot run it. Give its folder, or engine: auto.")
    if is_onnx or engine == "onnx":
        return _onnx(place if is_onnx else place / ONNX)
    return _eager(place) if engine == "eager" else _static(place, engine)


def _static(folder: Path, engine: str) -> Model:
    card = _read_card(folder, FILES)
    engine = (card.engine or ONEDNN) if engine == "auto" else engine
    if engine == NATIVE:
        return Model(card, engine, native_program(folder / PREFIX))
    if engine != ONEDNN and not runs_bf16():
        raise InputError(f"engine: {engine} needs a CPU that computes in bfloat16 (avx512_bf16), which this one does not. Use "
                         f"{ONEDNN}.")
    return Model(card, engine, OneDNNProgram(folder / PREFIX, precision="fp32" if engine == ONEDNN else "bf16"))


def _onnx(file: Path) -> Model:
    card = _read_card(file.parent, [file.name])
    return Model(card, "onnx", onnx_program(file, card.class_num))


def _eager(folder: Path) -> Model:
    card = _read_card(folder, [WEIGHTS])
    network = build_network(where=str(folder), **card.arch)
    load_weights(network, folder / WEIGHTS)
    return Model(card, "eager", lambda images: network_logits(network, images))


def _read_card(folder: Path, files: Sequence[str]) -> Card:
    """The card of the files that will be used, if it says what pictures they take."""
    card = read_card(folder, files)
    if card.input is None or card.preprocess is None:
        raise InputError(f"{folder} was exported without images, so its card does not say how pictures are prepared. Export "
                         "the run with its evaluation list: ssld export -c CONFIG --out DIR.")
    return card
