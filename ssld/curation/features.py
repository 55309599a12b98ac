"""Networks as `embed` functions of dedup, files -> rows: features of a teacher, or whatever an exported program answers.

They go to worker processes as they are. A process opens the network at the first call, once for all copies of one
embedding that reach it.
"""
from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from dedup.images import ImageError

from ..checks import positive_int
from ..data.transforms import Compose
from ..errors import InputError
from ..models.features import WithFeatures
from ..teachers.engines import make_engine
from ..teachers.live import LiveTeacher
from ..teachers.onednn import OneDNNProgram
from ..teachers.own_view import OwnView

_KEPT = 2                       # networks that a process keeps open
_opened: dict[str, Callable[[np.ndarray], np.ndarray]] = {}     # identity of an embedding -> its network, oldest first


class _Embedding:
    """Files -> float32 [n, D], batch by batch. A picture that the transform cannot read becomes a row of zeros, which
    resembles nothing; it is named on stderr and counted.

    Args:
        transform: file -> image float32 [3, H, W], the same size for every picture.
        batch_size: pictures per forward pass; incomplete batches are filled up, so that no row depends on neighbours.

    Attributes:
        unreadable: pictures that this copy found unreadable so far.
        width: D, known from the first picture on.

    Raises:
        InputError: transforms with chance in them; when called, nothing but unreadable pictures from the start.
    """

    def __init__(self, transform: Compose, batch_size: int):
        if transform.random:
            raise InputError("features need transforms without chance: leave out those whose names begin with Rand.")
        self.transform, self.batch_size = transform, positive_int("batch_size", batch_size)
        self.unreadable, self.width = 0, None
        self._identity = uuid.uuid4().hex

    def __call__(self, files: Sequence[str]) -> np.ndarray:
        images = [self._read(file) for file in files]
        readable = [place for place, image in enumerate(images) if image is not None]
        if not readable and self.width is None:
            raise InputError(f"none of {len(files)} pictures can be read by the network's transforms, beginning with "
                             f"{files[0]}. Are the transforms those of the network?")
        found = [self._forward(np.stack([images[place] for place in readable[first:first + self.batch_size]]))
                 for first in range(0, len(readable), self.batch_size)]
        self.width = found[0].shape[1] if found else self.width
        rows = np.zeros((len(files), self.width), np.float32)
        if found:
            rows[readable] = np.concatenate(found)
        return rows

    def _read(self, file: str) -> np.ndarray | None:
        try:
            return self.transform(file, np.random.default_rng(0))
        except (ImageError, OSError) as error:
            self.unreadable += 1
            print(f"warning: {file} gets no features, the {self.unreadable}. such picture: {error}", file=sys.stderr)
            return None

    def _forward(self, images: np.ndarray) -> np.ndarray:
        if self._identity not in _opened:
            while len(_opened) >= _KEPT:
                del _opened[next(iter(_opened))]
            _opened[self._identity] = self._open(images.shape[2:])
        missing = self.batch_size - len(images)
        return _opened[self._identity](np.concatenate([images, images[-1:].repeat(missing, axis=0)]))[:len(images)]

    def _open(self, size: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
        raise NotImplementedError(f"{type(self).__name__} does not say how its network is opened")


class TeacherEmbedding(_Embedding):
    """Pooled features of a classification network, the input of its classifier: files -> float32 [n, D].

    Args:
        network: makes the network with its weights; called once in each process, so it must pickle (a function of a
            module, or a partial of one).
        transform: file -> image, the evaluation view of the network.
        engine: see `make_engine`.
        batch_size: pictures per forward pass.
        view: what the network makes of the images first, see `ssld.teachers.own_view`.

    The network runs on the device that is selected when this is made.
    """

    def __init__(self, network: Callable[[], nn.Layer], transform: Compose, engine: str = "auto", batch_size: int = 64,
                 view: OwnView | None = None):
        super().__init__(transform, batch_size)
        self.network, self.engine, self.device = network, engine, paddle.get_device()
        self.view = view or OwnView()

    def _open(self, size):
        paddle.set_device(self.device)
        network = WithFeatures(self.network(), self.view.size_of(size))
        teacher = LiveTeacher(make_engine(network, self.engine), view=self.view)
        return lambda images: network.split(teacher.logits(paddle.to_tensor(images)).numpy())[1]


class ProgramEmbedding(_Embedding):
    """The first output of an exported inference model, flattened: files -> float32 [n, D]. Runs on the CPU with oneDNN.

    Args:
        prefix: of `prefix.json` and `prefix.pdiparams`, such as export/inference.
        transform: file -> image as the program takes it.
        batch_size: pictures per run.

    Raises:
        InputError: a file is missing, or chance in the transforms.
    """

    def __init__(self, prefix: str | Path, transform: Compose, batch_size: int = 64):
        super().__init__(transform, batch_size)
        self.prefix = str(prefix)
        for file in (f"{prefix}.json", f"{prefix}.pdiparams"):
            if not Path(file).is_file():
                raise InputError(f"there is no {file}. Expected the two files of an exported inference model, "
                                 f"{prefix}.json and {prefix}.pdiparams.")

    def _open(self, size):
        program = OneDNNProgram(self.prefix)
        return lambda images: program(images).reshape(len(images), -1)
