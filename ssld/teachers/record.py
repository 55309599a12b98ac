"""teacher.json: which teacher taught a run, and what was measured of it before, once for all starts of the run.

    {"name", "class_num", "path", "sha256", "engine", "batch_norm", "sees",  the teacher, as the config asks for it
     "accuracy": {"inputs": {...}, "result": {...}},                         on the evaluation list
     "agreement": {"inputs": {...}, "result": {...}},                        of bfloat16 with float32
     "checksum"}                                                             of everything above
"""
from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, Optional

import paddle.distributed as dist

from dedup.files import write_json

from ..device import is_main, wait_for_all, world_size
from ..errors import InputError

FILE = "teacher.json"


class TeacherIdentity(NamedTuple):
    """Which teacher.

    Attributes:
        name, class_num: of the network.
        path, sha256: of its weight file.
        engine, batch_norm: how it is asked to be run.
        sees: its images and the student's, in words; None: the same.
    """

    name: str
    class_num: int
    path: str
    sha256: str
    engine: str
    batch_norm: str
    sees: Optional[str] = None


class TeacherRecord:
    """The teacher.json of a run.

    A record of another teacher, or one that was truncated or altered, counts as none: what it says is measured anew.

    Args:
        folder: of the run.
        teacher: who teaches now.
    """

    def __init__(self, folder: str | Path, teacher: TeacherIdentity):
        self.file, self.teacher = Path(folder) / FILE, teacher
        self.measured: dict[str, dict] = _of_main(self._read)

    def once(self, what: str, inputs: Mapping, measure: Callable[[], dict]) -> tuple[dict, bool]:
        """A measurement: the recorded one of the same inputs, or a new one.

        Args:
            what: its name.
            inputs: what it depends on besides the teacher, as JSON takes it.
            measure: makes it; called by every process or by none.

        Returns:
            The result, and whether it was recorded before.
        """
        known = self.measured.get(what)
        recorded = known is not None and known["inputs"] == _as_json(inputs)
        if not recorded:
            self.measured[what] = _as_json({"inputs": inputs, "result": measure()})
        return self.measured[what]["result"], recorded

    def write(self) -> None:
        """Write the file; when this returns every process finds it."""
        if is_main():
            content = {**self.teacher._asdict(), **self.measured}
            write_json(self.file, {**content, "checksum": _checksum(content)})
        wait_for_all()

    def _read(self) -> dict[str, dict]:
        """What was measured of the same teacher before."""
        if not self.file.exists():
            return {}
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
            intact = content.pop("checksum") == _checksum(content)
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            intact = False
        if not intact:
            print(f"warning: {self.file} was truncated or altered; the teacher is measured anew", file=sys.stderr)
            return {}
        teacher = self.teacher._replace(path=content.get("path"))          # the same file may have moved
        same = all(content.pop(key, None) == value for key, value in teacher._asdict().items())
        return content if same else {}


def refuse_another_teacher(card: Mapping, teacher: TeacherIdentity, folder: str | Path) -> None:
    """Refuse to go on with another teacher than a checkpoint was taught by.

    Args:
        card: of the checkpoint; "teacher" names path and sha256, where there is one.
        teacher: who would teach now.
        folder: of the run.

    Raises:
        InputError: naming both files and their checksums.
    """
    before = card.get("teacher")
    if before and before["sha256"] != teacher.sha256:
        raise InputError(f"{folder} was taught by {before['path']} (SHA-256 {before['sha256']}), but the teacher is now "
                         f"{teacher.path} (SHA-256 {teacher.sha256}). Put the original file back, choose another "
                         "Global.output_dir, or --restart to discard the earlier run.")


def _as_json(value):
    return json.loads(json.dumps(value))


def _checksum(content: Mapping) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _of_main(read: Callable[[], dict]) -> dict:
    """What the main process reads: the others might see an older state of a shared disk."""
    found = read() if is_main() else {}
    if world_size() == 1:
        return found
    of_all: list = []
    dist.all_gather_object(of_all, found)
    return of_all[0]
