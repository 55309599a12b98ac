"""SSLD's loss: the student's and the teacher's distribution, compared both ways."""
from __future__ import annotations

import math

import paddle
from paddle import Tensor

from ..checks import one_of, positive
from ..outputs import log_softmax
from .base import METHODS, Method


@METHODS.register
class JSDivLoss(Method):
    """Symmetric divergence between the class distributions p of the student and q of the teacher.

        symmetric_kl     (KL(p || q) + KL(q || p)) / 2                         >= 0, unbounded
        jensen_shannon   (KL(p || m) + KL(q || m)) / 2,   m = (p + q) / 2      in [0, ln 2]

    summed over classes, averaged over images. Label-free, so unlabelled images train the student as well. SSLD's
    published results were trained with `symmetric_kl` under the name of JS divergence, hence the default. Its gradient
    stays at about 1/2 however wrong a confident student is; that of `jensen_shannon` falls as exp(-gap between logits).

    Args:
        form: one of the two above.
        temperature: divisor of both logits before the softmax, > 0.

    Source: Cui et al., "Beyond Self-Supervision: A Simple Yet Effective Network Distillation Alternative to Improve
    Backbones", arXiv:2103.05959.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, form: str = "symmetric_kl", temperature: float = 1.0):
        super().__init__()
        self.divergence = one_of("form", form, {"symmetric_kl": symmetric_kl, "jensen_shannon": jensen_shannon})
        self.temperature = positive("temperature", temperature)

    def forward(self, student, teacher, batch):
        log_p = log_softmax(student.logits, self.temperature)
        log_q = log_softmax(teacher.logits.detach(), self.temperature)
        return self.divergence(log_p, log_q).mean()


def symmetric_kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of each row: [B, C], [B, C] -> [B]."""
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of each row, in nats: [B, C], [B, C] -> [B]."""
    log_m = paddle.logaddexp(log_p, log_q) - math.log(2)
    return (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(-1) / 2
