"""A frozen network as teacher."""
from __future__ import annotations

from ..outputs import Batch, Outputs
from .engines import Engine
from .record import TeacherIdentity


class LiveTeacher:
    """Asks a frozen network about each batch, in the same view that the student sees.

    Args:
        engine: runs the network; see `ssld.teachers.engines`.
        identity: which network it is, where a run keeps a record of that.
    """

    provides = frozenset({"probabilities", "logits"})

    def __init__(self, engine: Engine, identity: TeacherIdentity | None = None):
        self.engine, self.identity = engine, identity

    def __call__(self, batch: Batch) -> Outputs:
        return Outputs(self.engine(batch["image"]))
