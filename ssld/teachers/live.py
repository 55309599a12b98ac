"""A frozen network as teacher."""
from __future__ import annotations

from ..outputs import Batch, Outputs
from .engines import Engine


class LiveTeacher:
    """Asks a frozen network about each batch, in the same view that the student sees.

    Args:
        engine: runs the network; see `ssld.teachers.engines`.
    """

    provides = frozenset({"probabilities", "logits"})

    def __init__(self, engine: Engine):
        self.engine = engine

    def __call__(self, batch: Batch) -> Outputs:
        return Outputs(self.engine(batch["image"]))
