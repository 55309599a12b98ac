"""Cross-entropy against the teacher's distribution."""
from __future__ import annotations

from ..checks import positive
from .base import METHODS, Method, log_softmax


@METHODS.register
class SoftCELoss(Method):
    """Cross-entropy of the student's class distribution p under the teacher's q:  - sum_c q_c log p_c, mean over images.

    Its gradient equals that of KL(q || p), since the entropy of q is constant. No factor T^2 is applied.

    Args:
        temperature: divisor of the student's logits, > 0.
        teacher_temperature: divisor of the teacher's logits, > 0.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2, without the
    hard-label term; with stored labels it is the loss of Shen and Xing, "A Fast Knowledge Distillation Framework for
    Visual Recognition", arXiv:2112.01528.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, temperature: float = 1.0, teacher_temperature: float = 1.0):
        super().__init__()
        self.temperature = positive("temperature", temperature)
        self.teacher_temperature = positive("teacher_temperature", teacher_temperature)

    def forward(self, student, teacher, batch):
        log_p = log_softmax(student.logits, self.temperature)
        q = log_softmax(teacher.logits.detach(), self.teacher_temperature).exp()
        return -(q * log_p).sum(-1).mean()
