"""What a teacher is."""
from __future__ import annotations

from typing import Protocol

from ..outputs import Batch, Outputs


class Teacher(Protocol):
    """A soft-label source. Its answers never carry gradient.

    Attributes:
        provides: what a method may read of it: a live network gives probabilities, logits and perhaps features,
            stored labels give probabilities.
    """

    provides: frozenset[str]

    def __call__(self, batch: Batch) -> Outputs: ...
