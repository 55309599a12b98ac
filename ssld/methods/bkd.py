"""Distillation by one binary decision per class."""
from __future__ import annotations

import paddle
from paddle.nn import functional as F

from ..outputs import log_softmax
from .base import METHODS, Method
from .binary import binary_cross_entropy


@METHODS.register
class BKDLoss(Method):
    """Binary cross-entropy of each logit z of the student with the teacher's probability q of that class:

        - (q log sigmoid(z) + (1 - q) log(1 - sigmoid(z))),   q = softmax of the teacher's logits,

    mean over images and classes. The mean over classes belongs to it: with 1000 classes its gradient is a thousandth of
    KDLoss's, which a weight has to make up for where that is not wanted.

    Source: the binary form in the code of Hao et al., "VanillaKD: Revisit the Power of Vanilla Knowledge Distillation from
    Small Scale to Large Scale", NeurIPS 2023, arXiv:2305.15781.
    """

    needs = frozenset({"probabilities"})

    def __init__(self):                 # nn.Layer's own has options that are none of a method's
        super().__init__()

    def forward(self, student, teacher, batch):
        return binary_cross_entropy(student.logits, _probabilities(teacher))

    def minimum(self, teacher, batch):
        """The mean entropy of the teacher's binary decisions."""
        q = _probabilities(teacher)
        return F.binary_cross_entropy(q, q)


def _probabilities(teacher) -> paddle.Tensor:
    """The teacher's distribution, float32 [B, C]."""
    return log_softmax(teacher.logits.detach()).exp()
