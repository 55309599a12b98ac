"""A teacher whose answers were computed before training and come with the batch."""
from __future__ import annotations

from ..outputs import Batch, Outputs
from .base import Teacher

ENTRY = "teacher_logits"        # of the batch: float32 [B, class_num]


class RecordedTeacher:
    """Gives back the logits that a teacher gave for the same views of the same images.

    In everything else it is that teacher, who can still be measured on other images.

    Args:
        teacher: who was asked.
    """

    def __init__(self, teacher: Teacher):
        self.teacher = teacher
        self.provides = teacher.provides - {"features"}

    def __call__(self, batch: Batch) -> Outputs:
        return Outputs(batch[ENTRY])

    def __getattr__(self, name: str):
        return getattr(self.teacher, name)
