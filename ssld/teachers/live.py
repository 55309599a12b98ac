"""A frozen network as teacher."""
from __future__ import annotations

from collections.abc import Callable, Sequence

from paddle import Tensor, nn

from ..models.tap import Tapped
from ..outputs import Batch, Outputs
from .eager import EagerEngine
from .engines import Engine, make_engine
from .own_view import OwnView
from .record import TeacherIdentity


class LiveTeacher:
    """Asks a frozen network about each batch, in the view that the student sees or in its own.

    Args:
        engine: runs the network; see `ssld.teachers.engines`.
        identity: which network it is, where a run keeps a record of that.
        view: makes its own images of the student's, see `ssld.teachers.own_view`; None: they are the same.
    """

    provides = frozenset({"probabilities", "logits", "features"})

    def __init__(self, engine: Engine, identity: TeacherIdentity | None = None, view: OwnView | None = None):
        self.engine, self.identity, self.view = engine, identity, view
        self._asked = engine                # who answers
        self._answer: Callable[[Tensor], Outputs] = lambda image: Outputs(self.engine(image))

    def __call__(self, batch: Batch) -> Outputs:
        return self._answer(self.own(batch["image"]))

    def own(self, image: Tensor) -> Tensor:
        """The student's images as the teacher sees them."""
        return image if self.view is None else self.view(image)

    def logits(self, image: Tensor) -> Tensor:
        """What the engine says about the student's images: [B, 3, H, W] -> [B, class_num]."""
        return self.engine(self.own(image))

    @property
    def network(self) -> nn.Layer | None:
        """The frozen network, layer by layer; None where it is none of Paddle."""
        return getattr(self.engine, "network", None)

    @property
    def is_eager(self) -> bool:
        """Whether it is that very object which answers, so that a mode set there counts."""
        return isinstance(self._asked, EagerEngine)

    def show(self, names: Sequence[str], size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
        """Answer with features as well from now on; returns their shapes without the batch axis.

        Args:
            names: see ssld.models.tap.
            size: height and width of an image of the student's, pixels.

        Raises:
            InputError: a name that the network does not have.
        """
        tapped = Tapped(self.engine.network, names, self.own_size(size))
        # never in bfloat16, which is compared with float32 for logits only
        engine = make_engine(tapped, "eager" if isinstance(self.engine, EagerEngine) else "auto",
                             "running" if self.identity is None else self.identity.batch_norm)
        self._asked, self._answer = engine, lambda image: Outputs(*tapped.split(engine(image)))
        return tapped.taps.shapes

    def own_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of an image as the teacher sees it, pixels, of the student's."""
        return size if self.view is None else self.view.size_of(size)
