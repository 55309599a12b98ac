"""What a loss term is."""
from __future__ import annotations

import paddle
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


def log_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Logarithm of the softmax of logits / temperature over the last axis, float32, exact for any gap between logits.

    The division comes after the cast, since float16 overflows above 65504. Paddle's CPU kernel raises everything below
    -64 to -64, which would stop the gradient of a confidently wrong student; logsumexp does not.
    """
    logits = logits.astype("float32") / temperature
    return logits - paddle.logsumexp(logits, axis=-1, keepdim=True)
