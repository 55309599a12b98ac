"""Stored soft labels as targets of a loss, without an entry for each class."""
from __future__ import annotations

from typing import NamedTuple

import paddle
from paddle import Tensor

_TINY = 1.1754944e-38           # smallest normal float32: x log x is 0 there


class SparseTargets(NamedTuple):
    """A distribution over C classes for each row:  y = rest + sum_i excess_i onehot(ids_i).

    An id may repeat: its excesses add up, so an id with excess 0 is padding.

    Attributes:
        ids: int64 [B, K], classes in 0 .. C - 1.
        excess: float32 [B, K], what a class has more than the rest.
        rest: float32 [B], what each class has at least.

    Source: Shen and Xing, "A Fast Knowledge Distillation Framework for Visual Recognition", arXiv:2112.01528: labels
    compressed to the K largest classes.
    """

    ids: Tensor
    excess: Tensor
    rest: Tensor

    def cross_entropy(self, log_p: Tensor) -> Tensor:
        """- sum_c y_c log p_c of each row, float32, from log p alone: [B, C] -> [B].

        Nothing is assumed of the sum of y; with p = softmax(z) the gradient in z is p sum(y) - y.
        """
        log_p = log_p.astype("float32")
        kept = (self.excess * log_p.take_along_axis(self.ids, axis=-1)).sum(-1)
        return -kept - self.rest * log_p.sum(-1)

    def entropy(self, class_num: int) -> Tensor:
        """- sum_c y_c log y_c of each row, float32 [B]; 0 log 0 is 0."""
        same = (self.ids.unsqueeze(-1) == self.ids.unsqueeze(-2)).astype("float32")
        value = self.rest.unsqueeze(-1) + (same * self.excess.unsqueeze(-2)).sum(-1)
        once = 1 / same.sum(-1)                     # an id that is there n times counts 1/n each time
        return -(once * _x_log_x(value)).sum(-1) - (class_num - once.sum(-1)) * _x_log_x(self.rest)

    def dense(self, class_num: int) -> Tensor:
        """y itself, float32 [B, class_num]."""
        rest = self.rest.unsqueeze(-1).expand([-1, class_num])
        return paddle.put_along_axis(rest, self.ids, self.excess, axis=-1, reduce="add")

    def take(self, rows: Tensor) -> SparseTargets:
        """The targets of some rows, int64 [n], in that order."""
        return SparseTargets(*(paddle.gather(part, rows) for part in self))

    def mixed(self, partner: Tensor, share: Tensor) -> SparseTargets:
        """share * y + (1 - share) * y[partner], for images that were mixed so (see `ssld.data.mix`).

        Args:
            partner: int64 [B], the row mixed in.
            share: float32 [B], weight of the own row, in [0, 1].
        """
        other, own, theirs = self.take(partner), share.unsqueeze(-1), 1 - share.unsqueeze(-1)
        return SparseTargets(paddle.concat([self.ids, other.ids], -1),
                             paddle.concat([own * self.excess, theirs * other.excess], -1),
                             share * self.rest + (1 - share) * other.rest)


def _x_log_x(value: Tensor) -> Tensor:
    value = value.clip(min=_TINY)
    return value * value.log()
