"""From `Arch.teacher: {source: onnx, path: FILE}` of a config to a teacher."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from dedup.files import sha256_file

from .build_data import loader_section
from .checks import positive_int
from .config import Config
from .data.transforms import TRANSFORMS
from .device import is_main
from .errors import InputError, located
from .registry import check_arguments
from .teachers.onnx import OnnxEngine, OnnxTeacher
from .teachers.own_view import Normalisation, OwnView
from .teachers.record import TeacherIdentity

_NORMALISE = "NormalizeImage"


@dataclass(frozen=True)
class OnnxOptions:
    """The keys of Arch.teacher for an ONNX file.

    Attributes:
        path: the file.
        class_num: width of its logits.
        name: what the run calls it; default: the file's name.
        mean, std, size, interpolation: of the images that it was trained on; see ssld.teachers.own_view. size: default: what
            the file says, else as the student sees them.
        outputs, logits, probabilities: see ssld.teachers.onnx.
        min_top1: see ssld.build_teacher.
    """

    path: str
    class_num: int
    name: Optional[str] = None
    mean: Sequence[float] = Normalisation.mean
    std: Sequence[float] = Normalisation.std
    size: Optional[int] = None
    interpolation: str = "bicubic"
    outputs: Optional[Mapping] = None
    logits: Optional[str] = None
    probabilities: bool = False
    min_top1: Optional[float] = None

    def __post_init__(self):
        positive_int("class_num", self.class_num)
        if self.name is None:
            object.__setattr__(self, "name", Path(self.path).stem)


def is_onnx(config: Config) -> bool:
    """Whether the teacher is an ONNX file."""
    section = config.section("Arch").get("teacher")
    return isinstance(section, Mapping) and section.get("source") == "onnx"


def onnx_options(config: Config) -> OnnxOptions:
    """Arch.teacher, checked."""
    given, where = dict(config.section("Arch")["teacher"]), config.where("Arch", "teacher")
    given.pop("source")
    check_arguments(OnnxOptions, given, where)
    with located(where):
        return OnnxOptions(**given)


def build_onnx_teacher(config: Config, own_view: bool = False) -> OnnxTeacher:
    """Arch.teacher with `source: onnx`.

    Args:
        config: of a run; its training images tell what normalisation the teacher's has to replace.
        own_view: the images that will come are the teacher's own already.
    """
    options, engine = onnx_options(config), build_onnx_engine(config, own_view)
    identity = TeacherIdentity(options.name, options.class_num, options.path, onnx_digest(options.path), engine.name, "running")
    if engine.view and is_main():
        print(f"teacher {options.name} ({engine.name}) sees {engine.view}", flush=True)
    return OnnxTeacher(engine, identity)


def build_onnx_engine(config: Config, own_view: bool = False) -> OnnxEngine:
    """What runs the file; arguments as of `build_onnx_teacher`."""
    options, where = onnx_options(config), config.where("Arch", "teacher")
    with located(where):
        engine = OnnxEngine(options.path, options.class_num, options.outputs, options.logits, options.probabilities)
        if not own_view:
            size = options.size or _fixed_size(engine)
            engine.view = OwnView(_seen(config), Normalisation(options.mean, options.std), size, options.interpolation)
    return engine


def onnx_digest(path: str | Path) -> str:
    """SHA-256 of the file, and of the weights beside it where the file is too small to hold them."""
    weights = Path(f"{path}.data")
    if not weights.is_file():
        return sha256_file(path)
    return hashlib.sha256(f"{sha256_file(path)}{sha256_file(weights)}".encode()).hexdigest()


def _fixed_size(engine: OnnxEngine) -> int | None:
    """The side of the images that a file was exported for."""
    height, width = engine.size
    if height != width:
        raise InputError(f"{engine.file} takes images of {height} x {width} pixels; only squares can be made of the student's. "
                         "Export it for a square, or for any size.")
    return height


def _seen(config: Config) -> Normalisation:
    """How the training images are normalised."""
    where = config.where("DataLoader", "Train", "dataset", "transform_ops")
    dataset: Any = loader_section(config, "Train").get("dataset") or {}
    for op in dataset.get("transform_ops") or []:
        name, options = next(iter(op.items())) if isinstance(op, Mapping) and op else (op, None)
        if name == _NORMALISE:
            transform = TRANSFORMS.build(name, options, where)
            return Normalisation(transform.mean, transform.std)
    raise InputError(f"{where} has no {_NORMALISE}, so what the student sees cannot be turned into what the teacher wants. Add "
                     "it.")
