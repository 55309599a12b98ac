"""What several teachers together say about crops, each in its own view."""
from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor

from ..checks import positive
from ..errors import InputError
from ..teachers.engines import Engine
from .views import View


class Ensemble:
    """The mean of the teachers' full distributions softmax(z / T); one teacher is an ensemble too.

    Args:
        engines: the teachers.
        views: of each.
        class_num: that all of them have.
        temperature: T.

    Attributes:
        views: those that differ; crops are cut once for each.
        seconds: spent in the teachers so far.

    Source: Shen & Savvides, "MEAL V2", arXiv:2009.08453, section 3.1; the mean is taken before anything is cut off.
    """

    def __init__(self, engines: Sequence[Engine], views: Sequence[View], class_num: int, temperature: float = 1.0):
        self.views = list(dict.fromkeys(views))
        self.members = [(engine, self.views.index(view)) for engine, view in zip(engines, views)]
        self.class_num, self.temperature, self.seconds = class_num, positive("temperature", temperature), 0.0

    def ask(self, images: Sequence[Tensor]) -> np.ndarray:
        """Distributions, float64 [n, C], of crops as the views show them.

        Args:
            images: for each view float32 [n, 3, size, size].

        Raises:
            InputError: an answer of another width than class_num.
        """
        total = 0.0
        for engine, view in self.members:
            began = time.monotonic()
            logits = engine(images[view]).numpy()
            self.seconds += time.monotonic() - began
            if logits.shape[1:] != (self.class_num,):
                raise InputError(f"a teacher's answer has the shape {list(logits.shape)}, expected {self.class_num} classes as "
                                 "its class_num says.")
            total = total + softmax(logits, self.temperature)
        return total / len(self.members)

    def ask_about(self, pixels: Sequence[Tensor]) -> np.ndarray:
        """The same for crops as `View.cut` made them, uint8 [n, size, size, 3] for each view."""
        with paddle.no_grad():
            return self.ask([view.normalised(shown) for view, shown in zip(self.views, pixels)])


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """softmax(z / T) of each row, in float64."""
    shifted = logits.astype(np.float64) / temperature
    shifted -= shifted.max(1, keepdims=True)
    powers = np.exp(shifted)
    return powers / powers.sum(1, keepdims=True)
