"""Relational knowledge distillation."""
from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from ..checks import not_negative, one_of
from .base import METHODS, Method

_LEAST = 1e-6                   # distance below which two rows count as the same one
_ROUNDING = 1e-6                # what float32 can tell of |f_i|^2 + |f_j|^2 - 2 <f_i, f_j>, as a share of the first two


@METHODS.register
class RKDLoss(Method):
    """Distances and angles between the images of a batch, as for the teacher:  distance_weight L_d + angle_weight L_a.

        L_d: mean smooth L1 between D / mu of student and teacher, D_ij = |f_i - f_j|, mu the mean of all D_ij > 0
        L_a: mean smooth L1 between A of student and teacher, A_ijk = <u_ij, u_ik>, u_ij = (f_j - f_i) / D_ij

    over all B^2 pairs and B^3 triples. Nothing of size B x B x width is made: with G = f f^T, the numerator of A_ijk is
    G_jk - G_ij - G_ik + G_ii. Two rows that are the same, or so near that float32 cannot tell their distance, have D = 0
    and A = 0 as a row has with itself, and no gradient.

    Args:
        distance_weight: of L_d, >= 0.
        angle_weight: of L_a, >= 0.
        squared: D holds squared distances in L_d.
        student_tap, teacher_tap: the features f, flattened.

    Source: Park et al., "Relational Knowledge Distillation", CVPR 2019, arXiv:1904.05068, equations 4 to 8.
    """

    needs = frozenset({"features"})

    def __init__(self, distance_weight: float = 25.0, angle_weight: float = 50.0, squared: bool = False,
                 student_tap: str = "pool", teacher_tap: str = "pool"):
        super().__init__()
        self.distance_weight = not_negative("distance_weight", distance_weight)
        self.angle_weight = not_negative("angle_weight", angle_weight)
        self.squared = one_of("squared", squared, (True, False))
        self.student_taps, self.teacher_taps = (student_tap,), (teacher_tap,)

    def forward(self, student, teacher, batch):
        with paddle.amp.auto_cast(enable=False):                    # float32 also where the networks are not
            (d_s, a_s), (d_t, a_t) = (relations(features, self.squared) for features in (
                student.features[self.student_taps[0]], teacher.features[self.teacher_taps[0]].detach()))
            return self.distance_weight * F.smooth_l1_loss(d_s, d_t) + self.angle_weight * F.smooth_l1_loss(a_s, a_t)


def relations(features: Tensor, squared: bool = False) -> tuple[Tensor, Tensor]:
    """D / mu, float32 [B, B], and A, float32 [B, B, B], of features [B, ...]."""
    rows = features.astype("float32").flatten(1)
    rows = rows - rows.detach().mean(0)         # changes no difference; smaller numbers leave less to rounding
    gram = rows @ rows.t()
    own = gram.diagonal()
    pairs = own.unsqueeze(1) + own
    square = pairs - 2 * gram
    apart = square > (_ROUNDING * pairs).clip(min=_LEAST ** 2)
    square = paddle.where(apart, square, paddle.ones_like(square))                  # the root of 0 has no derivative
    apart = apart.astype("float32")
    distance = apart * (square if squared else square.sqrt())
    mean = distance.sum() / apart.sum().clip(min=1)
    inverse = apart * square.rsqrt()
    angle = gram - gram.unsqueeze(2) - gram.unsqueeze(1) + own.reshape([-1, 1, 1])
    return distance / mean.clip(min=_LEAST ** 2), angle * inverse.unsqueeze(2) * inverse.unsqueeze(1)
