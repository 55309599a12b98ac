"""Correlation congruence between neighbours in the batch."""
from __future__ import annotations

import math

import paddle

from ..checks import not_negative, positive_int
from .base import METHODS, Method
from .linear import linear


@METHODS.register
class CorrelationLoss(Method):
    """Distances of student and teacher, correlated between neighbours in the batch:  scale * mean over b of <d_b, d_(b+1)>.

    d = |e_s - e_t| element by element; e_s and e_t are linear embeddings of the pooled features of student and teacher, which
    train along and are not exported. The value depends on the order of the batch, which is random; a batch of one image has no
    neighbours and a loss of 0.

    Args:
        scale: factor within the loss, >= 0.
        embedding: width of the embeddings.
        student_tap, teacher_tap: the features, flattened.

    Source: Peng et al., "Correlation Congruence for Knowledge Distillation", ICCV 2019, arXiv:1904.01802, in the short
    form of Tian et al. (arXiv:1910.10699) and Hao et al. (arXiv:2305.15781), which have no kernel matrix.
    """

    needs = frozenset({"features"})

    def __init__(self, scale: float = 0.02, embedding: int = 128, student_tap: str = "pool", teacher_tap: str = "pool"):
        super().__init__()
        self.scale, self.width = not_negative("scale", scale), positive_int("embedding", embedding)
        self.student_taps, self.teacher_taps = (student_tap,), (teacher_tap,)

    def attach(self, site):
        self.of_student = linear(math.prod(site.student[self.student_taps[0]]), self.width)
        self.of_teacher = linear(math.prod(site.teacher[self.teacher_taps[0]]), self.width)

    def forward(self, student, teacher, batch):
        f_s, f_t = student.features[self.student_taps[0]], teacher.features[self.teacher_taps[0]].detach()
        with paddle.amp.auto_cast(enable=False):                    # float32 also where the networks are not
            apart = (self.of_student(f_s.astype("float32").flatten(1))
                     - self.of_teacher(f_t.astype("float32").flatten(1))).abs()
            neighbours = paddle.roll(apart, -1, axis=0)
            pairs = (apart * neighbours).sum(-1)[:-1]               # the last row's neighbour would be the first
            return self.scale * pairs.sum() / max(len(apart) - 1, 1)
