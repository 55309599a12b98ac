"""Hinton's distillation loss."""
from __future__ import annotations

from ..checks import one_of, positive
from ..errors import InputError
from ..outputs import DISTILLATION_LOGITS, log_softmax
from .base import METHODS, Method


@METHODS.register
class KDLoss(Method):
    """KL divergence of the student's class distribution p from the teacher's q, both at a temperature T:

        T^2 sum_c q_c (log q_c - log p_c),    q, p = softmax of the teacher's, the student's logits / T

    mean over images. T^2 keeps the size of the gradient when T is raised. Stored labels have the temperature of their
    teacher; another T sharpens or flattens what was stored, which is not what that teacher would have said at T where only
    some classes were kept.

    Args:
        temperature: T, > 0.
        head: whose logits of the student: those of its "class" head, or of the "distillation" head that some networks have
            besides (DeiT_tiny_conv_stem).

    Raises:
        InputError: when it runs: the student has no distillation head.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, arXiv:1503.02531, section 2;
    T = 1 as in Hao et al., "VanillaKD: Revisit the Power of Vanilla Knowledge Distillation from Small Scale to Large
    Scale", NeurIPS 2023, arXiv:2305.15781.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, temperature: float = 1.0, head: str = "class"):
        super().__init__()
        self.temperature = positive("temperature", temperature)
        self.head = one_of("head", head, ("class", "distillation"))

    def forward(self, student, teacher, batch):
        log_p = log_softmax(self._logits_of(student), self.temperature)
        log_q = log_softmax(teacher.logits.detach(), self.temperature)
        return self.temperature ** 2 * (log_q.exp() * (log_q - log_p)).sum(-1).mean()

    def _logits_of(self, student):
        if self.head == "class":
            return student.logits
        if DISTILLATION_LOGITS not in (student.aux or {}):
            raise InputError("KDLoss with head: distillation needs a student with a second head, such as DeiT_tiny_conv_stem. "
                             "Leave 'head' out, or choose such a student.")
        return student.aux[DISTILLATION_LOGITS]
