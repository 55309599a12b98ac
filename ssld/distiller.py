"""Distiller: a student, perhaps a teacher, and the loss terms between them."""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor, nn

from .checks import not_negative, one_of
from .errors import InputError, located
from .methods.base import FROM_TEACHER, METHODS, Method, Site
from .models.freeze import Frozen
from .models.tap import Taps
from .outputs import Batch, Losses, Outputs
from .teachers.base import Teacher

_FROM_1 = "from_1"              # what a warm-up counts epochs from


@dataclass
class Term:
    """A method and its part in the total loss.

    Attributes:
        method: the loss term.
        weight: factor, >= 0; always applied, also to a single term.
        warmup_epochs: the weight grows linearly from 0 over so many epochs.
        warmup_by_epoch: it grows at the beginning of each epoch, and stands still during it. Of W warmup_epochs, epoch e,
            counted from 0, has the share e / W, so the first one has nothing; with "from_1", (e + 1) / W.
    """

    method: Method
    weight: float = 1.0
    warmup_epochs: float = 0
    warmup_by_epoch: bool | str = False

    def __post_init__(self):
        not_negative("weight", self.weight)
        not_negative("warmup_epochs", self.warmup_epochs)
        one_of("warmup_by_epoch", self.warmup_by_epoch, (True, False, _FROM_1))

    def weight_at(self, epoch: float) -> float:
        """The factor at a (fractional) epoch, counted from 0."""
        if not self.warmup_epochs:
            return self.weight
        done = math.floor(epoch) + (self.warmup_by_epoch == _FROM_1) if self.warmup_by_epoch else epoch
        return self.weight * min(done / self.warmup_epochs, 1.0)


class Distiller(nn.Layer):
    """Student + teacher + loss terms; without a teacher it is supervised training.

    A Layer, so that paddle.DataParallel wraps it whole and projectors of methods are synchronised with the student.
    The teacher is not a sublayer: it has nothing to train, to save or to synchronise, and `train()` cannot reach it.

    Args:
        student: network from images [B, 3, H, W] to logits [B, class_num].
        teacher: soft-label source, or None.
        terms: at least one.
        frozen: which part of the student stands still; None trains all of it.

    Raises:
        InputError: no term, a term that needs what the teacher does not provide, or class counts that differ.
    """

    def __init__(self, student: nn.Layer, teacher: Teacher | None, terms: Sequence[Term], frozen: Frozen | None = None):
        super().__init__()
        if not terms:
            raise InputError("Loss.Train is empty: a distiller needs at least one loss term, such as JSDivLoss.")
        for term in terms:
            check_needs(term.method, teacher)
        self.student = student
        object.__setattr__(self, "teacher", teacher)        # past Layer, which would adopt a teacher that is one too
        self.methods = nn.LayerList([term.method for term in terms])
        self.terms = list(terms)
        self.names = _names(terms)
        self.frozen = frozen
        self.taps: Taps | None = None
        self.epoch = 0.0                    # set by the trainer, read by warm-ups

    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch; see `ssld.outputs`."""
        with paddle.no_grad():
            teacher = self.teacher(batch) if self.teacher is not None else None
        student = self.ask_student(batch)
        if teacher is not None and teacher.class_num != student.class_num:
            raise InputError(f"teacher and student disagree on the number of classes: {teacher.class_num} and "
                             f"{student.class_num}. Set class_num of both to that of the teacher's weights.")
        parts, total = {}, 0
        for name, term in zip(self.names, self.terms):
            found = term.method(student, teacher, batch)
            if isinstance(found, Mapping):
                parts.update({f"{name}/{part}": value for part, value in found.items()})
                found = sum(found.values())
            parts[name] = found
            total = total + term.weight_at(self.epoch) * found
        # detached: DataParallel would wait for gradients of a classifier that no loss reads
        return Losses(total, parts, student.logits.detach(), self._minima(teacher, batch))

    def attach(self, size: tuple[int, int], labels: np.ndarray, seed: int = 0) -> None:
        """Show the features that the methods read, and let them make the layers that depend on these.

        To be called once, before the optimizer is made; needless where no method reads features.

        Args:
            size: height and width of an image, pixels.
            labels: int64 [N], of the training list; -1 = unlabelled.
            seed: of the run.

        Raises:
            InputError: a feature that a network does not have.
        """
        student = sorted({name for method in self.methods for name in method.student_taps})
        if student:
            self.taps = Taps(self.student, student, size)
        teacher = self.teacher_taps()
        shapes, seen = (self.teacher.show(teacher, size), self.teacher.own_size(size)) if teacher else ({}, size)
        site = Site(self.taps.shapes if self.taps else {}, shapes, labels, seed, size,
                    getattr(self.teacher, "network", None), seen, getattr(self.teacher, "is_eager", False))
        for name, method in zip(self.names, self.methods):
            with located(name):
                method.attach(site)

    def teacher_taps(self) -> list[str]:
        """Names of the teacher's features that the methods read."""
        for name, method in zip(self.names, self.methods):
            with located(name):
                method.choose_taps(getattr(self.teacher, "network", None))
        return sorted({name for method in self.methods for name in method.teacher_taps})

    def ask_student(self, batch: Batch) -> Outputs:
        """What the student says about a batch; a network with more to say than logits answers with Outputs itself."""
        answer, features = self.taps(batch["image"]) if self.taps else (self.student(batch["image"]), {})
        return answer._replace(features=features) if isinstance(answer, Outputs) else Outputs(answer, features)

    @paddle.no_grad()
    def _minima(self, teacher: Outputs | None, batch: Batch) -> dict[str, Tensor]:
        """The least values of the losses that have one above 0."""
        least = {name: term.method.minimum(teacher, batch) for name, term in zip(self.names, self.terms)}
        return {name: value for name, value in least.items() if value is not None}

    def diagnostics(self) -> dict[str, float]:
        """What the methods have to say about their own layers, for the log: "VkDLoss/figure" -> value."""
        return {f"{name}/{figure}": value for name, method in zip(self.names, self.methods)
                for figure, value in method.diagnostics().items()}

    def train(self):
        """Training mode, except for the frozen part of the student."""
        super().train()
        if self.frozen:
            self.frozen.hold()


def check_needs(method: Method, teacher: Teacher | None) -> None:
    """Refuse a method whose teacher cannot provide what it reads.

    Raises:
        InputError: naming what is missing and which methods would do.
    """
    name = type(method).__name__
    missing = (method.needs & FROM_TEACHER) - (teacher.provides if teacher else frozenset())
    if missing and teacher is None:
        raise InputError(f"{name} compares with a teacher, but there is none. Add Arch.teacher, or use a loss on labels "
                         "such as CELoss.")
    if missing:
        usable = [n for n in METHODS.names()
                  if METHODS.get(n, "").needs & FROM_TEACHER and METHODS.get(n, "").needs & FROM_TEACHER <= teacher.provides]
        raise InputError(f"{name} needs teacher {' and '.join(sorted(missing))}, but this teacher provides only "
                         f"{', '.join(sorted(teacher.provides))}. Use another teacher, or a method that needs no more: "
                         f"{', '.join(usable)}.")


def _names(terms: Sequence[Term]) -> list[str]:
    """Class names; a second term of a class is called Name_2."""
    classes = [type(term.method).__name__ for term in terms]
    earlier = [classes[:place].count(name) for place, name in enumerate(classes)]
    return [f"{name}_{count + 1}" if count else name for name, count in zip(classes, earlier)]
