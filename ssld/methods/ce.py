"""Cross-entropy on ground-truth labels."""
from __future__ import annotations

from ..checks import fraction
from .base import METHODS, Method, log_softmax


@METHODS.register
class CELoss(Method):
    """Cross-entropy with the labels, mean over images:  - (1 - e) log p_y - e / C sum_c log p_c.

    Args:
        epsilon: label smoothing e, in [0, 1].

    Source: label smoothing as in Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
    arXiv:1512.00567, section 7.
    """

    needs = frozenset({"label"})

    def __init__(self, epsilon: float = 0.0):
        super().__init__()
        self.epsilon = fraction("epsilon", epsilon)

    def forward(self, student, teacher, batch):
        log_p = log_softmax(student.logits)
        target = log_p.take_along_axis(batch["label"].unsqueeze(-1), axis=-1).squeeze(-1)
        return -((1 - self.epsilon) * target + self.epsilon * log_p.mean(-1)).mean()
