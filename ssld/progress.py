"""Lines that say how far a long job is and how much time it still needs."""
from __future__ import annotations

import sys
import time


class Progress:
    """Prints "name 120/400 ... 0:00:31 left" now and then.

    Args:
        name: what is being done.
        total: steps in all.
        done: steps that were done before, by an earlier run that was interrupted.
        every_s: seconds between two lines; 0 prints at every call.
        quiet: print nothing (processes other than the main one).
    """

    def __init__(self, name: str, total: int, done: int = 0, every_s: float = 5.0, quiet: bool = False):
        self.name, self.total, self.first, self.every_s, self.quiet = name, total, done, every_s, quiet
        self.started = self._printed = time.monotonic()

    def update(self, done: int, note: str = "") -> None:
        """Tell that `done` steps are done."""
        now = time.monotonic()
        if self.quiet or (done < self.total and now - self._printed < self.every_s):
            return
        self._printed = now
        print(f"{self.name} {done}/{self.total}  {note}{'  ' if note else ''}{duration(self.left_s(done))} left",
              file=sys.stdout, flush=True)

    def left_s(self, done: int) -> float:
        """Seconds that the remaining steps will take at the mean speed so far."""
        elapsed = time.monotonic() - self.started
        return elapsed / max(done - self.first, 1) * (self.total - done)


def duration(seconds: float) -> str:
    """12 -> "0:00:12"."""
    seconds = round(seconds)
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
