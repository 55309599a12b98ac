"""Cross-entropy on ground-truth labels."""
from __future__ import annotations

import paddle

from ..checks import fraction
from ..outputs import log_softmax
from .base import METHODS, Method
from .labelled import needs_labels, with_labels


@METHODS.register
class CELoss(Method):
    """Cross-entropy with the labels, mean over images:  - (1 - e) log p_y - e / C sum_c log p_c.

    Where images were mixed (see `ssld.data.mix`), log p_y is that of both partners' labels, weighted by their shares.

    Args:
        epsilon: label smoothing e, in [0, 1].
        unlabelled: refuse a list with images without label (-1), or skip them: they count as a loss of 0, and whatever else the
            run has learns from them.

    Source: label smoothing as in Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
    CVPR 2016, arXiv:1512.00567, section 7.
    """

    needs = frozenset({"label"})

    def __init__(self, epsilon: float = 0.0, unlabelled: str = "refuse"):
        super().__init__()
        self.epsilon, self.needs = fraction("epsilon", epsilon), needs_labels(unlabelled)

    def forward(self, student, teacher, batch):
        batch, counts = with_labels(batch)
        log_p, label = log_softmax(student.logits), batch["label"]
        target = _of_label(log_p, label)
        if "partner" in batch:
            share = batch["share"]
            target = share * target + (1 - share) * _of_label(log_p, paddle.gather(label, batch["partner"]))
        return -(counts * ((1 - self.epsilon) * target + self.epsilon * log_p.mean(-1))).mean()


def _of_label(log_p: paddle.Tensor, label: paddle.Tensor) -> paddle.Tensor:
    """The entry of each row that its label names: [B, C], int64 [B] -> [B]."""
    return log_p.take_along_axis(label.unsqueeze(-1), axis=-1).squeeze(-1)
