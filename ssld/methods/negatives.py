"""Images of other classes, drawn by the million."""
from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor

from ..errors import InputError


class Negatives:
    """Draws images of other classes, with replacement; keeps one number per image, of 3 bytes for up to 16.7 million images:
    all of them, sorted by class.

    Args:
        labels: int64 [N]; -1 = unlabelled, whose negatives are all images but itself.

    Raises:
        InputError: there is nothing but one class.
    """

    def __init__(self, labels: np.ndarray):
        counts = np.bincount(labels + 1)                    # the unlabelled ones come first
        if len(labels) < 2 or counts[1:].max(initial=0) == len(labels):
            raise InputError(f"negatives are images of other classes, but all {len(labels):,} images of the training list have "
                             "the same label. Use another list, or another method than CRDLoss.")
        self.total, self.unlabelled = len(labels), int(counts[0])
        order, width = np.argsort(labels, kind="stable"), -(-(len(labels) - 1).bit_length() // 8)
        self.order = paddle.to_tensor(order.astype("<i8").view(np.uint8).reshape(-1, 8)[:, :width])
        self.counts, self.starts = (paddle.to_tensor(each) for each in (counts, np.cumsum(counts) - counts))

    @paddle.no_grad()
    def draw(self, label: Tensor, index: Tensor, count: int) -> Tensor:
        """`count` images of other classes for each image: int64 [B], int64 [B] -> int32 [B, count]."""
        start, own = (paddle.gather(each, label + 1) for each in (self.starts, self.counts))
        if self.unlabelled:
            place = paddle.searchsorted(_numbers(self.order[:self.unlabelled]), index.astype("int32"))
            start, own = paddle.where(label < 0, place, start), paddle.where(label < 0, paddle.ones_like(own), own)
        others = (self.total - own).unsqueeze(1)
        drawn = paddle.rand([len(label), count], "float64") * others.astype("float64")
        drawn = paddle.minimum(drawn.astype("int64"), others - 1)               # the product may be rounded up
        drawn += own.unsqueeze(1) * (drawn >= start.unsqueeze(1)).astype("int64")         # step over the own class
        return _numbers(paddle.gather(self.order, drawn.flatten())).reshape(drawn.shape)


def _numbers(digits: Tensor) -> Tensor:
    """uint8 [N, bytes], the lowest first -> int32 [N]."""
    number = digits[:, -1].astype("int32")
    for place in reversed(range(digits.shape[1] - 1)):
        number = number * 256 + digits[:, place].astype("int32")
    return number
