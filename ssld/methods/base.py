"""What a loss term is."""
from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

import numpy as np
from paddle import Tensor, nn

from ..outputs import Batch, Outputs
from ..registry import Registry

METHODS = Registry("method")

FROM_TEACHER = frozenset({"probabilities", "logits", "features"})
FROM_BATCH = frozenset({"label", "index"})
_SOURCE = re.compile(r"^Source:\s+(.+?)(?:\n\n|\Z)", re.DOTALL | re.MULTILINE)
_FIRST_PAPER = re.compile(r".+?arXiv:\d{4}\.\d{4,5}")


class Site(NamedTuple):
    """Where a method is put to work, known once the networks are built.

    Attributes:
        student, teacher: tap name -> shape of that feature without the batch axis: (C, H, W), (N, D) or (D,).
        labels: int64 [N], of the training list; -1 = unlabelled.
        seed: of the run.
        size: height and width of the student's images, pixels.
        teacher_network: the frozen network itself, layer by layer, in evaluation mode; None where the teacher is no network of
            Paddle. What a method keeps of it must not become a sublayer: it is neither trained, nor saved, nor synchronised.
        teacher_size: height and width of the images that this network sees, pixels.
        teacher_is_eager: the teacher's answers come from this very object, so that a mode set there counts for them.
    """

    student: Mapping[str, tuple[int, ...]]
    teacher: Mapping[str, tuple[int, ...]]
    labels: np.ndarray
    seed: int = 0
    size: tuple[int, int] = (224, 224)
    teacher_network: Optional[nn.Layer] = None
    teacher_size: tuple[int, int] = (224, 224)
    teacher_is_eager: bool = False


@dataclass(frozen=True)
class Cost:
    """What a part of a method takes while training; at inference it is gone.

    Attributes:
        parameters: that train along with the student.
        multiply_adds: of the forward pass of one image.
    """

    parameters: int
    multiply_adds: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.multiply_adds + other.multiply_adds)


class Method(nn.Layer):
    """One loss term of a Distiller; may own projectors or a memory bank, which train with the student.

    The first line of its docstring says what it is, and `Source:` which paper it comes from; `ssld list methods` shows both.

    Attributes:
        needs: what it reads, of the teacher (probabilities, logits, features) and of the batch (label, index). A
            Distiller refuses a term whose needs its teacher does not provide.
        student_taps, teacher_taps: names of the features that it reads, see ssld.models.tap.
    """

    needs: frozenset[str] = frozenset()
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()

    @classmethod
    def paper(cls) -> str | None:
        """The first paper that its docstring names as `Source:`: authors, title, venue, arXiv number; None without a Source."""
        source = _SOURCE.search(inspect.cleandoc(cls.__doc__ or ""))
        if source is None:
            return None
        words = " ".join(source[1].split())
        first = _FIRST_PAPER.match(words)
        return first[0] if first else words

    def choose_taps(self, teacher: nn.Layer | None) -> None:
        """Settle `teacher_taps` where they depend on the teacher's network; called once, before features are shown.

        Args:
            teacher: the frozen network; None where the teacher is no network of Paddle.
        """

    def attach(self, site: Site) -> None:
        """Make the layers that depend on the networks; called once, before the optimizer is made."""

    def forward(self, student: Outputs, teacher: Outputs | None, batch: Batch) -> Union[Tensor, Mapping[str, Tensor]]:
        """The unweighted loss of a batch, a scalar: mean over images; or the parts that it is the sum of, by name."""
        raise NotImplementedError(f"{type(self).__name__} does not define its loss")

    def diagnostics(self) -> dict[str, float]:
        """Figures about its own layers for the log, such as how far a projection is from orthogonal."""
        return {}

    def cost(self) -> Mapping[str, Cost]:
        """What each of its components takes, by name; known once it is attached. Empty where that is not worth a word."""
        return {}

    def minimum(self, teacher: Outputs | None, batch: Batch) -> Tensor | None:
        """The least value that the loss can take on a batch, a scalar: what a perfect student would read.

        None where that is 0, or where the loss measures no distance. The log shows it beside the loss, whose distance from it
        can be compared between runs with other labels.
        """
        return None
