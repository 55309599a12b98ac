"""Checkpoints: folders that are whole or absent.

    output_dir/checkpoints/step_00000120/
        student.pdparams        the student as it was evaluated, under its backbone's own names
        training.npz            what training goes on from: weights, optimizer, average (plain arrays)
        checkpoint.json         step, metrics, SHA-256 of the two files
    output_dir/latest -> checkpoints/step_00000120
    output_dir/best   -> checkpoints/step_00000100

A folder is filled under a temporary name and renamed when everything in it is on disk; it is renamed again before it is
removed. So a process may be killed at any moment.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup.files import atomic_write, sha256_file, sync_folder, write_json

from ..arrays import read_arrays, write_arrays
from ..errors import InputError
from ..models.weights import CARD, write_state

STUDENT, TRAINING = "student.pdparams", "training.npz"


class Checkpoint(NamedTuple):
    """One whole checkpoint: its folder and what its card says."""

    folder: Path
    card: dict

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self.card["step"]

    def training_state(self) -> dict[str, np.ndarray]:
        """The arrays of training.npz."""
        return read_arrays(self.folder / TRAINING)


def save_checkpoint(run: str | Path, step: int, student: Mapping, training: Mapping[str, np.ndarray], card: Mapping,
                    best: bool = False, keep: int = 2) -> Path:
    """Write one checkpoint, point `latest` (and `best`) at it, and remove those that are no longer needed.

    Args:
        run: output folder of the run.
        step: optimizer steps done.
        student: weights as evaluated, name -> tensor.
        training: arrays to resume from.
        card: what else to note: epoch, metrics, ...
        best: whether this is the best so far.
        keep: how many of the newest to keep; the best one stays besides.

    Returns:
        The checkpoint's folder.

    Raises:
        InputError: it cannot be written; earlier checkpoints are untouched.
    """
    final = _folder(run, step)
    temporary = final.with_name(f".{final.name}.tmp")
    try:
        _remove_leftovers(final.parent)
        temporary.mkdir(parents=True)
        with atomic_write(temporary / STUDENT, "wb") as out:
            write_state(student, out)
        write_arrays(temporary / TRAINING, training)
        sums = {name: sha256_file(temporary / name) for name in (STUDENT, TRAINING)}
        write_json(temporary / CARD, {**card, "step": step, "sha256": sums})
        _remove(final)                                  # written before an interrupted resume: the same content
        os.rename(temporary, final)
        sync_folder(final.parent)
        _point(Path(run) / "latest", final)
        if best:
            _point(Path(run) / "best", final)
        _prune(Path(run), keep)
    except (OSError, InputError) as error:
        _remove_leftovers(final.parent)
        cause = error.__cause__ if isinstance(error, InputError) else error
        raise InputError(f"the checkpoint {final} could not be written: {getattr(cause, 'strerror', None) or error}. Earlier "
                         "checkpoints are unchanged; make room and start the same command again to go on from the last "
                         "one.") from error
    return final


def latest_checkpoint(run: str | Path) -> Checkpoint | None:
    """The newest whole checkpoint of a run; None when there is none at all.

    A process may have been killed between writing a checkpoint and pointing `latest` and `best` at it; that is made up for.

    Raises:
        InputError: the newest one is damaged; names it and the last good one.
    """
    folders = sorted((Path(run) / "checkpoints").glob("step_*"), reverse=True)
    if not folders:
        return None
    try:
        newest = open_checkpoint(folders[0])
    except InputError as error:
        for older in folders[1:]:
            try:
                good = open_checkpoint(older)
            except InputError as older_error:
                print(f"warning: {older_error}", file=sys.stderr)
                continue
            raise InputError(f"{error} The last good one is {good.folder} (step {good.step}): remove the damaged folder "
                             "to go on from there.") from error
        raise InputError(f"{error} No good one is left: remove {Path(run) / 'checkpoints'} to start anew.") from error
    _point(Path(run) / "latest", newest.folder)
    if newest.card.get("best"):
        best = _folder(run, newest.card["best"]["step"])
        if best.is_dir():
            _point(Path(run) / "best", best)
    return newest


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """A checkpoint folder, its checksums compared.

    Raises:
        InputError: a file is missing, truncated or altered.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD).read_text())
        sums, _ = {name: card["sha256"][name] for name in (STUDENT, TRAINING)}, int(card["step"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"checkpoint {folder} is damaged: {CARD} cannot be read ({error}).") from error
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file():
            raise InputError(f"checkpoint {folder} is damaged: {name} is missing.")
        if sha256_file(file) != expected:
            raise InputError(f"checkpoint {folder} is damaged: {name} ({file.stat().st_size} bytes) was truncated or "
                             "altered after it was written.")
    return Checkpoint(folder, card)


def _folder(run: str | Path, step: int) -> Path:
    return Path(run) / "checkpoints" / f"step_{step:08d}"


def _point(link: Path, target: Path) -> None:
    """Make the symbolic link `link` point at `target`, replacing an older one in a single step."""
    to = os.path.relpath(target, link.parent)
    if link.is_symlink() and os.readlink(link) == to:
        return
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(to)
    os.replace(temporary, link)
    sync_folder(link.parent)


def _prune(run: Path, keep: int) -> None:
    best = (run / "best").resolve()
    for folder in sorted((run / "checkpoints").glob("step_*"))[:-keep]:
        if folder.resolve() != best:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a checkpoint; it is absent at once, whatever happens then."""
    if folder.exists():
        going = folder.with_name(f".{folder.name}.old")
        os.rename(folder, going)
        shutil.rmtree(going)


def _remove_leftovers(parent: Path) -> None:
    """Remove what a killed process left half written or half removed."""
    for folder in (*parent.glob(".step_*.tmp"), *parent.glob(".step_*.old")):
        shutil.rmtree(folder, ignore_errors=True)
