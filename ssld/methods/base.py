"""What a loss term is."""
from __future__ import annotations

from paddle import Tensor, nn

from ..outputs import Batch, Outputs
from ..registry import Registry

METHODS = Registry("method")

FROM_TEACHER = frozenset({"probabilities", "logits", "features"})
FROM_BATCH = frozenset({"label", "index"})


class Method(nn.Layer):
    """One loss term of a Distiller; may own projectors or a memory bank, which train with the student.

    Attributes:
        needs: what it reads, of the teacher (probabilities, logits, features) and of the batch (label, index). A
            Distiller refuses a term whose needs its teacher does not provide.
    """

    needs: frozenset[str] = frozenset()

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> Tensor:
        """The unweighted loss of a batch, a scalar: mean over images."""
        raise NotImplementedError(f"{type(self).__name__} does not define its loss")

    def minimum(self, teacher: Outputs | None, batch: Batch) -> Tensor | None:
        """The least value that the loss can take on a batch, a scalar: what a perfect student would read.

        None where that is 0, or where the loss measures no distance. The log shows it beside the loss, whose distance from it
        can be compared between runs with other labels.
        """
        return None
