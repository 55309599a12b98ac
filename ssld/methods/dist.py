"""DIST: predictions that rank alike instead of being equal."""
from __future__ import annotations

from paddle import Tensor

from ..checks import not_negative, positive
from ..outputs import log_softmax
from .base import METHODS, Method

_EPSILON = 1e-8                 # on the product of the norms
_LEAST_SQUARE = 1e-30           # of a norm; its root is far below what _EPSILON leaves to be seen, and has a derivative


@METHODS.register
class DISTLoss(Method):
    """Correlation of student and teacher, within each image and within each class:  T^2 (beta inter + gamma intra).

        inter = 1 - mean over images  of rho(p[b, :], q[b, :])
        intra = 1 - mean over classes of rho(p[:, c], q[:, c])
        rho(x, y) = <x', y'> / (|x'| |y'| + 1e-8),   x' = x - mean(x)

    p and q are the softmax of the student's and the teacher's logits / T. What does not vary, such as a column of a single
    image, has rho = 0. `intra` compares the images of one process's batch, so it depends on that batch's size.

    Args:
        beta: weight of inter, >= 0.
        gamma: weight of intra, >= 0.
        temperature: T, > 0.

    Source: Huang et al., "Knowledge Distillation from A Stronger Teacher", NeurIPS 2022, arXiv:2205.10536, equations 6, 8
    and 9.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, beta: float = 1.0, gamma: float = 1.0, temperature: float = 1.0):
        super().__init__()
        self.beta, self.gamma = not_negative("beta", beta), not_negative("gamma", gamma)
        self.temperature = positive("temperature", temperature)

    def forward(self, student, teacher, batch):
        p, q = (log_softmax(logits, self.temperature).exp() for logits in (student.logits, teacher.logits.detach()))
        inter, intra = (1 - _correlation(p, q, axis).mean() for axis in (1, 0))
        return self.temperature ** 2 * (self.beta * inter + self.gamma * intra)


def _correlation(x: Tensor, y: Tensor, axis: int) -> Tensor:
    """Pearson's rho of x and y along an axis."""
    x, y = (values - values.mean(axis, keepdim=True) for values in (x, y))
    norms = [values.square().sum(axis).clip(min=_LEAST_SQUARE).sqrt() for values in (x, y)]
    return (x * y).sum(axis) / (norms[0] * norms[1] + _EPSILON)
