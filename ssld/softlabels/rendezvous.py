"""Where processes meet that come hours apart. An exchange between them would give up waiting after half an hour, so they look
at files instead."""
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from dedup.files import write_json

from ..device import is_main, rank, world_size
from ..errors import InputError
from ..train.parallel import together
from ..train.row_files import read_json

_LOOK_EVERY_S = 2.0
_FAILED = "failed-rank"


@contextlib.contextmanager
def rendezvous(folder: str | Path) -> Iterator[Rendezvous]:
    """A block of long work. When one process leaves it with an InputError, all do, with the same one, as soon as they `look`.

    Args:
        folder: on a disk that all processes see, for notes.

    Raises:
        InputError: that of the first process that has one.
    """
    board = Rendezvous(Path(folder))
    with together():
        if is_main():
            board.clear()
    with together():
        try:
            yield board
        except InputError as error:
            board.post(error)
            raise


class Rendezvous:
    """Notes of processes that had to give up.

    Args:
        folder: of the notes.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._looked = time.monotonic()

    def clear(self) -> None:
        """Take away the notes of an earlier run."""
        for note in self.folder.glob(f"{_FAILED}*.json"):
            note.unlink()

    def post(self, error: InputError) -> None:
        """Tell the others."""
        if world_size() > 1:
            with contextlib.suppress(InputError):           # the disk may be what failed; the others then find out themselves
                write_json(self.folder / f"{_FAILED}{rank()}.json", {"error": str(error)})

    def look(self) -> None:
        """See now and then whether another process has given up.

        Raises:
            InputError: it has.
        """
        now = time.monotonic()
        if world_size() == 1 or now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        for note in sorted(self.folder.glob(f"{_FAILED}*.json")):
            raise InputError((read_json(note) or {}).get("error", f"another process gave up, see {note}"))

    def wait_until(self, whole: Callable[[], bool]) -> None:
        """Return when the work of all processes is done.

        Args:
            whole: whether it is, by what lies on disk.
        """
        while not whole():
            self.look()
            time.sleep(_LOOK_EVERY_S / 2)
