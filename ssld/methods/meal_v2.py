"""MEAL V2's discriminator between student and teacher."""
from __future__ import annotations

import paddle
from paddle import nn

from ..checks import one_of, positive_int
from ..outputs import log_softmax
from .base import METHODS, Method
from .binary import binary_cross_entropy
from .linear import linear

_INPUTS = {"log_probabilities": log_softmax, "probabilities": lambda logits: log_softmax(logits).exp(),
           "logits": lambda logits: logits.astype("float32")}
_LEAST_WIDTH = 8


@METHODS.register
class MEALV2Discriminator(Method):
    """A small network that tells the student's answers from the teacher's; binary cross-entropy of its two outputs.

    Three linear layers C -> C/8 -> C/64 -> 2, each followed by a ReLU, read the answers of student and teacher, one below the
    other; the target is [1, 0] for the student's rows and [0, 1] for the teacher's; mean over all 2 B x 2 outputs. Student and
    discriminator descend the same loss, so the term regularises: it rewards a student that can be told from its teacher. It
    goes beside SoftCELoss, both with weight 1. Its layers train along and are not exported.

    The widths are rounded down, but 8 is the least: of layers one unit wide most begin with a ReLU that lets nothing through.

    Where images were mixed, the paper's code takes the term for the labels of both partners, weighted by lambda; as
    partners are a permutation of the batch and lambda is one number, that is the term for the unmixed labels, taken here.

    Args:
        class_num: C, supplied by the program.
        inputs: what the discriminator reads: log_probabilities; logits, the published form with a live teacher; or
            probabilities, the published form with stored labels, whose gradient is less than a thousandth of SoftCELoss's at
            the start with 1000 classes, where the other two reach some hundredths.

    Source: Shen and Savvides, "MEAL V2: Boosting Vanilla ResNet-50 to 80%+ Top-1 Accuracy on ImageNet without Tricks",
    NeurIPS 2020 workshop, arXiv:2009.08453.
    """

    needs = frozenset({"probabilities"})

    def __init__(self, class_num: int, inputs: str = "log_probabilities"):
        super().__init__()
        self.answer = one_of("inputs", inputs, _INPUTS)
        if inputs == "logits":
            self.needs = frozenset({"logits"})
        classes = positive_int("class_num", class_num)
        widths = [classes, max(_LEAST_WIDTH, classes // 8), max(_LEAST_WIDTH, classes // 64), 2]
        self.discriminator = nn.Sequential(*(layer for before, after in zip(widths, widths[1:])
                                             for layer in (linear(before, after), nn.ReLU())))

    def forward(self, student, teacher, batch):
        answers = paddle.concat([self.answer(student.logits), self.answer(teacher.unmixed.logits.detach())])
        with paddle.amp.auto_cast(enable=False):                    # float32 also where the networks are not
            score = self.discriminator(answers)
        whose = paddle.repeat_interleave(paddle.eye(2), len(answers) // 2, axis=0)
        return binary_cross_entropy(score, whose)
