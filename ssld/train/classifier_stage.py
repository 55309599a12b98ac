"""Training the classifier alone on what it sees of each image: the network before it need not run again."""
from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from paddle import Tensor, nn

from ..distiller import Distiller, Term
from ..errors import InputError
from ..models.features import WithFeatures
from ..models.freeze import Frozen
from ..outputs import Batch, Outputs
from ..teachers.base import Teacher
from ..teachers.engines import make_engine
from ..teachers.recorded import RecordedTeacher

FEATURES, TEACHER = "features", "teacher_logits"        # arrays of a cache
_IN_A_BATCH = frozenset({"probabilities", "logits", "label", "index"})


class ClassifierDistiller(Distiller):
    """A Distiller whose batches hold the classifier's input, [B, D], as "image", and the teacher's logits.

    It has the whole student, and names everything as a Distiller on images does, so checkpoints, averages and resumed
    runs are those of the whole student.

    Args:
        student: of which only the classifier runs.
        teacher: who is recorded in the batches, or None.
        terms: at least one.
        frozen: everything but the classifier.

    Raises:
        InputError: a term that needs more than logits and labels.
    """

    def __init__(self, student: nn.Layer, teacher: Teacher | None, terms: Sequence[Term], frozen: Frozen):
        for term in terms:
            missing = sorted(term.method.needs - _IN_A_BATCH)
            if missing:
                raise InputError(f"{type(term.method).__name__} needs {' and '.join(missing)}, which are not there when the "
                                 "classifier trains on features computed once. Set Global.cache_features: false.")
        super().__init__(student, teacher and RecordedTeacher(teacher), terms, frozen)
        # past Layer: it is a part of the student already
        object.__setattr__(self, "classifier", classifier_of(student, frozen))

    def ask_student(self, batch: Batch) -> Outputs:
        """What the classifier says about a batch of its inputs."""
        return Outputs(self.classifier(batch["image"]))


class Answers:
    """What the frozen part of a student, and a teacher, say about a batch of images; what is computed once.

    The student runs as a copy: an engine freezes all of what it is given.

    Args:
        student: the whole network.
        teacher: asked about the same images, or None.
        size: height and width of an image, pixels.
        engine: how the student is run, see `ssld.teachers.engines`; the teacher keeps its own.
    """

    def __init__(self, student: nn.Layer, teacher: Teacher | None, size: tuple[int, int], engine: str = "eager"):
        self.network, self.teacher = WithFeatures(copy.deepcopy(student), size), teacher
        self.engine = make_engine(self.network, engine)

    @property
    def name(self) -> str:
        """How the student is run."""
        return self.engine.name

    def __call__(self, image: Tensor) -> dict[str, np.ndarray]:
        """float32 [B, 3, H, W] -> "features" [B, D], and "teacher_logits" [B, class_num] if there is a teacher."""
        found = {FEATURES: self.network.split(self.engine(image).numpy())[1]}
        if self.teacher is not None:
            found[TEACHER] = self.teacher({"image": image}).logits.numpy()
        return found


def classifier_of(student: nn.Layer, frozen: Frozen) -> nn.Linear:
    """The one layer that trains in a Fix stage."""
    return dict(student.named_sublayers())[frozen.trainable[0]]


def widths_of(student: nn.Layer, frozen: Frozen, teacher: Teacher | None) -> dict[str, int]:
    """Length of a row of each array that `Answers` gives."""
    features, classes = classifier_of(student, frozen).weight.shape
    return {FEATURES: features, **({TEACHER: classes} if teacher else {})}
