"""The log of a run: one JSON object per line; every plot and table reads it."""
from __future__ import annotations

import json
import time
from pathlib import Path

from dedup.files import atomic_write

from ..errors import InputError

FILE = "log.jsonl"


class RunLog:
    """Appends events such as {"event": "train", "step": 120, "loss": 1.23} to `log.jsonl`, and scalars to VisualDL.

    Args:
        folder: of the run.
        resume_step: when a run goes on from a checkpoint, events of later steps are dropped: they will happen again.
        use_visualdl: also write scalars under `folder/vdl`.
    """

    def __init__(self, folder: str | Path, resume_step: int = 0, use_visualdl: bool = False):
        self.file = Path(folder) / FILE
        kept = [event for event in read_events(folder) if event.get("step", 0) <= resume_step] if resume_step else []
        with atomic_write(self.file) as out:
            out.writelines(_line(event) for event in kept)
        self._visualdl = None
        if use_visualdl:
            from visualdl import LogWriter

            self._visualdl = LogWriter(logdir=str(Path(folder) / "vdl"))

    def write(self, event: str, **values) -> None:
        """Append one event; numbers under a "step" also become VisualDL scalars.

        Raises:
            InputError: it cannot be written, such as when the disk is full.
        """
        try:
            with open(self.file, "a", encoding="utf-8") as out:
                out.write(_line({"event": event, "time": round(time.time(), 3), **values}))
        except OSError as error:
            raise InputError(f"{self.file} could not be written: {error.strerror}. Checkpoints are unchanged; make room and "
                             "start the same command again to go on from the last one.") from error
        if self._visualdl and "step" in values:
            for name, value in _flat(values):
                self._visualdl.add_scalar(f"{event}/{name}", value, values["step"])

    def close(self) -> None:
        """Write what VisualDL still holds back."""
        if self._visualdl:
            self._visualdl.close()


def read_events(folder: str | Path) -> list[dict]:
    """All whole events of a run's log; [] when there is none. A last line cut off by a kill is passed over.

    Raises:
        InputError: a line in the middle is no JSON.
    """
    file = Path(folder) / FILE
    if not file.exists():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")
    events = []
    for number, line in enumerate(lines[:-1], 1):
        try:
            events.append(json.loads(line))
        except ValueError as error:
            raise InputError(f"{file}:{number}: not a JSON event: {line[:80]!r}. Was the log edited?") from error
    return events


def _line(event: dict) -> str:
    return json.dumps(event) + "\n"


def _flat(values: dict):
    """(name, number) pairs of possibly nested values."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{inner}", number) for inner, number in _flat(value))
        elif isinstance(value, (int, float)) and name != "step":
            yield name, value
