"""One teacher for several students."""
from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..outputs import Batch, Outputs
from .base import Teacher


class SharedTeacher:
    """Asks a teacher once about each batch, however many students want its answer.

    Everything else of the teacher is passed through.

    Args:
        teacher: who is asked.
    """

    def __init__(self, teacher: Teacher):
        self._teacher = teacher
        self._batch: Batch | None = None
        self._wanted: set[str] = set()
        self._shapes: dict[str, tuple[int, ...]] = {}

    def __getattr__(self, name: str):
        return getattr(self._teacher, name)

    def __call__(self, batch: Batch) -> Outputs:
        if batch is not self._batch:
            self._batch, self._said = batch, self._teacher(batch)
        return self._said

    def announce(self, names: Iterable[str]) -> None:
        """Say beforehand which features any of the students will ask for."""
        self._wanted |= set(names)

    def show(self, names: Sequence[str], size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """As of the teacher; all that were announced are shown together."""
        if not self._shapes:
            self._shapes = self._teacher.show(sorted(self._wanted), size)
        return {name: self._shapes[name] for name in names}
