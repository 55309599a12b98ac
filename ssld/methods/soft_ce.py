"""Cross-entropy against the teacher's distribution."""
from __future__ import annotations

from ..checks import positive
from ..outputs import Outputs, log_softmax
from .base import METHODS, Method


@METHODS.register
class SoftCELoss(Method):
    """Cross-entropy of the student's class distribution p under the teacher's q:  - sum_c q_c log p_c, mean over images.

    Its gradient equals that of KL(q || p), since the entropy of q is constant. No factor T^2 is applied. Stored labels are
    taken as the distribution that they are, sparse where they were stored sparse.

    Args:
        temperature: divisor of the student's logits, > 0.
        teacher_temperature: divisor of the teacher's logits, > 0.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, arXiv:1503.02531, section 2,
    without the hard-label term; with stored labels it is the loss of Shen and Xing, "A Fast Knowledge Distillation Framework
    for Visual Recognition", ECCV 2022, arXiv:2112.01528.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, temperature: float = 1.0, teacher_temperature: float = 1.0):
        super().__init__()
        self.temperature = positive("temperature", temperature)
        self.teacher_temperature = positive("teacher_temperature", teacher_temperature)

    def forward(self, student, teacher, batch):
        return self._target(teacher).cross_entropy(log_softmax(student.logits, self.temperature)).mean()

    def minimum(self, teacher, batch):
        """The mean entropy of q: less it, the loss is KL(q || p)."""
        return self._target(teacher).entropy().mean()

    def _target(self, teacher):
        """Whose distribution is q. Only at temperature 1 is it what the teacher itself says."""
        if self.teacher_temperature == 1:
            return teacher
        return Outputs(log_softmax(teacher.logits.detach(), self.teacher_temperature))
