"""Decoupled knowledge distillation."""
from __future__ import annotations

import paddle
from paddle import Tensor

from ..checks import not_negative, positive
from ..outputs import Batch, log_softmax
from .base import METHODS, Method


@METHODS.register
class DKDLoss(Method):
    """KDLoss in two parts that are weighed apart:  alpha TCKD + beta NCKD, mean over images.

        TCKD = T^2 KL([q_k, 1 - q_k] || [p_k, 1 - p_k])     the label's class k against all others
        NCKD = T^2 KL(q without k || p without k)           the others among themselves

    q and p are the softmax of the teacher's and the student's logits / T; without k they are scaled to sum to 1. KDLoss
    is TCKD + (1 - q_k) NCKD. Everything is computed from logarithms, so nothing underflows; for two classes NCKD is 0.
    Where images were mixed, k is the label of the larger share; of equal shares the smaller class number.

    Args:
        alpha: weight of TCKD, >= 0.
        beta: weight of NCKD, >= 0.
        temperature: T, > 0.

    Source: Zhao et al., "Decoupled Knowledge Distillation", CVPR 2022, arXiv:2203.08679, equation 7; defaults of Hao
    et al., arXiv:2305.15781, for ImageNet.
    """

    needs = frozenset({"probabilities", "label"})

    def __init__(self, alpha: float = 1.0, beta: float = 2.0, temperature: float = 1.0):
        super().__init__()
        self.alpha, self.beta = not_negative("alpha", alpha), not_negative("beta", beta)
        self.temperature = positive("temperature", temperature)

    def forward(self, student, teacher, batch):
        label = larger_share(batch)
        (p, p_others), (q, q_others) = (_decoupled(log_softmax(logits, self.temperature), label)
                                        for logits in (student.logits, teacher.logits.detach()))
        return self.temperature ** 2 * (self.alpha * _kl(q, p) + self.beta * _kl(q_others, p_others)).mean()


def larger_share(batch: Batch) -> Tensor:
    """The label that has the larger share of each image, the smaller one of equals: int64 [B]."""
    own = batch["label"]
    if "partner" not in batch:
        return own
    theirs, share = paddle.gather(own, batch["partner"]), batch["share"]
    return paddle.where(share > 0.5, own, paddle.where(share < 0.5, theirs, paddle.minimum(own, theirs)))


def _decoupled(log_p: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """log [p_k, 1 - p_k], [B, 2], and the logarithm of p without k, scaled to sum to 1, [B, C - 1]."""
    class_num = log_p.shape[-1]
    others = (label.unsqueeze(-1) + paddle.arange(1, class_num)) % class_num
    log_others = log_p.take_along_axis(others, axis=-1)
    rest = paddle.logsumexp(log_others, axis=-1, keepdim=True)
    return paddle.concat([log_p.take_along_axis(label.unsqueeze(-1), axis=-1), rest], axis=-1), log_others - rest


def _kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) of each row."""
    return (log_q.exp() * (log_q - log_p)).sum(-1)
