"""Binary cross-entropy on ground-truth labels."""
from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from ..checks import fraction, one_of
from ..outputs import Batch
from .base import METHODS, Method
from .binary import binary_cross_entropies
from .labelled import needs_labels, with_labels


@METHODS.register
class BCELoss(Method):
    """Binary cross-entropy of each logit z with a target y, mean over images, and mean or sum over classes:

        - (y log sigmoid(z) + (1 - y) log(1 - sigmoid(z))),   y = (1 - e) onehot(label) + e / C.

    Where images were mixed (see `ssld.data.mix`), y is that of both partners' labels, weighted by their shares. The mean over
    classes belongs to recipes A1 and A2: with 1000 classes its gradient is a thousandth of what the sum gives, so beside a
    KDLoss of weight 1 the labels hardly count.

    Args:
        epsilon: label smoothing e, in [0, 1].
        threshold: targets above it become 1, the others 0, so that of a mixed image both partners may count in full; in
            [0, 1], null: targets stay what they are.
        reduction: over classes, mean or sum.
        unlabelled: refuse a list with images without label (-1), or skip them: they count as a loss of 0, and whatever else the
            run has learns from them.

    Source: Wightman, Touvron and Jegou, "ResNet strikes back: An improved training procedure in timm", NeurIPS 2021
    workshop, arXiv:2110.00476, section 2.2, where the targets are thresholded; without, as in Hao et al., arXiv:2305.15781.
    """

    needs = frozenset({"label"})

    def __init__(self, epsilon: float = 0.0, threshold: float | None = None, reduction: str = "mean",
                 unlabelled: str = "refuse"):
        super().__init__()
        self.epsilon, self.needs = fraction("epsilon", epsilon), needs_labels(unlabelled)
        self.reduction = one_of("reduction", reduction, ("mean", "sum"))
        self.threshold = None if threshold is None else fraction("threshold", threshold)

    def forward(self, student, teacher, batch):
        batch, counts = with_labels(batch)
        losses = binary_cross_entropies(student.logits, self._target(batch, student.class_num))
        return (counts * getattr(losses, self.reduction)(-1)).mean()

    def _target(self, batch: Batch, class_num: int) -> Tensor:
        """float32 [B, C]."""
        target = F.one_hot(batch["label"], class_num)
        if "partner" in batch:
            share = batch["share"].unsqueeze(-1)
            target = share * target + (1 - share) * paddle.gather(target, batch["partner"])
        target = (1 - self.epsilon) * target + self.epsilon / class_num
        return target if self.threshold is None else (target > self.threshold).astype("float32")
