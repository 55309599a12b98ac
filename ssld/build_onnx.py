"""From `Arch.teacher: {source: onnx, path: FILE}` of a config to a teacher."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Optional

from dedup.files import sha256_file

from .build_networks import VIEW_KEYS
from .build_own_view import view_in_training
from .checks import positive_int
from .config import Config
from .errors import InputError, located
from .registry import check_arguments, check_keys
from .teachers.onnx import OnnxEngine, OnnxTeacher
from .teachers.record import TeacherIdentity


@dataclass(frozen=True)
class OnnxOptions:
    """The keys of Arch.teacher for an ONNX file, besides those of its view; see ssld.build_own_view.

    Attributes:
        path: the file.
        class_num: width of its logits.
        name: what the run calls it; default: the file's name.
        outputs, logits, probabilities: see ssld.teachers.onnx.
        min_top1: see ssld.build_teacher.
    """

    path: str
    class_num: int
    name: Optional[str] = None
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
    check_keys(given, [*(field.name for field in fields(OnnxOptions)), *VIEW_KEYS], where)
    given = {key: value for key, value in given.items() if key not in VIEW_KEYS}
    check_arguments(OnnxOptions, given, where)
    with located(where):
        return OnnxOptions(**given)


def build_onnx_teacher(config: Config, own_view: bool = False) -> OnnxTeacher:
    """Arch.teacher with `source: onnx`.

    Args:
        config: of a run; its images tell what the teacher's have to be made of. Their size is by default what the file says.
        own_view: the images that will come are the teacher's own already.
    """
    options, engine = onnx_options(config), build_onnx_engine(config)
    with located(config.where("Arch", "teacher")):
        size = None if own_view else _fixed_size(engine)
    view = None if own_view else view_in_training(config, size)
    identity = TeacherIdentity(options.name, options.class_num, options.path, onnx_digest(options.path), engine.name, "running",
                               view and str(view))
    return OnnxTeacher(engine, identity, view)


def build_onnx_engine(config: Config) -> OnnxEngine:
    """What runs the file."""
    options = onnx_options(config)
    with located(config.where("Arch", "teacher")):
        return OnnxEngine(options.path, options.class_num, options.outputs, options.logits, options.probabilities)


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
