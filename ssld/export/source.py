"""Where an exported student comes from: its weights, checked to be one student's, and the lists of its run."""
from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from paddle import nn

from dedup.files import sha256_file

from ..config import Config
from ..data.manifest import Manifest
from ..errors import InputError
from ..models.weights import read_state
from ..train.run import trained_student

_NOT_OF_THE_NETWORK = ("pretrained", "pretrained_part", "new_classifier", "use_ssld", "trainable", "lr_mult_list", "engine")


def student_and_file(config: Config, weights: str | None) -> tuple[nn.Layer, Path]:
    """The student of a run with its weights, and the file they came from.

    Args:
        config: of the run.
        weights: file or checkpoint; by default the best of the run, or its latest.

    Raises:
        InputError: no weights, those of no student or of several, or such that do not fit.
    """
    if weights is not None:
        check_one_student(weights)
    return trained_student(config, weights)


def check_one_student(path: str | Path) -> None:
    """Refuse a checkpoint that holds no student, or several.

    Args:
        path: file, its name without `.pdparams`, or folder.

    Raises:
        InputError: it does, or it cannot be read.
    """
    runs = sorted({found.parent.name for name in ("latest", "best") for found in Path(path).glob(f"*/{name}")})
    if runs and not (Path(path) / "best").exists():
        shown = ", ".join(runs[:5]) + (", ..." if len(runs) > 5 else "")
        raise InputError(f"{path} holds the runs of {len(runs)} students: {shown}. Say which one is meant: --weights "
                         f"{Path(path) / runs[0] / 'best'}.")
    beginnings = sorted({name.split(".")[0] for name in read_state(path)})
    networks = [name for name in beginnings if name.lower().startswith(("student", "teacher"))]
    students = [name for name in networks if name.lower().startswith("student")]
    if networks and not students:
        raise InputError(f"{path} holds no student: its tensors are those of {', '.join(networks)}. Give the checkpoint of a "
                         "run that trained one.")
    if len(students) > 1:
        raise InputError(f"{path} holds several students: {', '.join(students)}. Save the tensors of one of them in a file of "
                         "their own, without that beginning.")


def arch_of(config: Config) -> dict:
    """Arch.student without what says how it is trained."""
    return {key: value for key, value in config.section("Arch")["student"].items() if key not in _NOT_OF_THE_NETWORK}


def source_of(config: Config, weights: Path) -> dict:
    """What a card notes of the run; see `ssld.export.card.Card`."""
    loaders = config.section("DataLoader")
    lists = {mode.lower(): _list((loaders.get(mode) or {}).get("dataset") or {}) for mode in ("Train", "Eval")}
    return {"weights": str(weights), "sha256": sha256_file(weights), "config": config.data, "lists": lists}


def preprocess_of(config: Config) -> list[dict] | None:
    """DataLoader.Eval.dataset.transform_ops as one-key mappings; None without an evaluation."""
    loader = config.section("DataLoader").get("Eval") or {}
    ops = (loader.get("dataset") or {}).get("transform_ops")
    return None if ops is None else [{op: {}} if isinstance(op, str) else {name: dict(options or {})
                                     for name, options in op.items()} for op in ops]


def _list(dataset: Mapping) -> dict | None:
    """File, SHA-256 and length of a list; the last two null where it is not there any more."""
    file = dataset.get("cls_label_path")
    if not file:
        return None
    if not Path(file).is_file():
        return {"file": str(file), "sha256": None, "images": None}
    images = Manifest.read(file, dataset.get("image_root"), dataset.get("delimiter", " "))
    return {"file": str(file), "sha256": sha256_file(file), "images": len(images)}
