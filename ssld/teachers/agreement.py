"""Whether a teacher in bfloat16 gives the same answers as in float32: measured on the real teacher, before it is used."""
from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from paddle import Tensor

from ..data.dataset import SomeRows
from ..data.loader import in_order
from ..device import is_main, rank, world_size
from ..outputs import log_softmax
from ..train.parallel import gather_rows
from .engines import BFloat16Engine, Engine

IMAGES = 256
# A small network that CIFAR-10 had taught comes to 0.996 and 0.002. Of 256 images 0.98 leaves five whose best class may
# change, which is within the error of an accuracy measured on so many. Networks that know nothing, whose best classes are
# nearly tied, can fail: they should not teach either.
LEAST_TOP1 = 0.98           # of the images keep their best class
MOST_MOVED = 0.02           # of the probability may sit on other classes


class Agreement(NamedTuple):
    """How far two engines agree about the same images.

    Attributes:
        images: how many were compared.
        top1: share of the images with the same best class, in [0, 1].
        moved: share of the probability that sits on other classes, mean over images of sum_c |p_c - q_c| / 2, in [0, 1];
            it does not depend on the number of classes.
        mean_difference: |p_c - q_c|, mean over images and classes.
    """

    images: int
    top1: float
    moved: float
    mean_difference: float

    @property
    def holds(self) -> bool:
        """Whether one engine may stand for the other; answers that are not finite never may."""
        return self.top1 >= LEAST_TOP1 and self.moved <= MOST_MOVED

    def __str__(self) -> str:
        if not self.images:
            return "it cannot run the network, or its answers are not finite"
        return (f"{100 * self.top1:.2f} % of {self.images} images keep their best class (at least {100 * LEAST_TOP1:g} % "
                f"must), {100 * self.moved:.3f} % of the probability moves (at most {100 * MOST_MOVED:g} % may)")


def measure_agreement(engine: Engine, reference: Engine, batches: Iterable[Tensor]) -> Agreement:
    """Compare the class distributions of two engines.

    Under several processes each brings its own images, and every process gets the agreement over all of them.

    Args:
        engine, reference: of the same network.
        batches: images [B, 3, H, W].
    """
    images, same, moved, classes = gather_rows(_sums(engine, reference, batches)[None]).sum(0)
    if not np.isfinite(moved):
        return Agreement(0, 0.0, 1.0, 1.0)
    return Agreement(int(images), same / images, moved / images, 2 * moved / classes)


def _sums(engine: Engine, reference: Engine, batches: Iterable[Tensor]) -> np.ndarray:
    """Number of images, of equal best classes, probability moved, and number of probabilities; NaN if `engine` fails."""
    sums = np.zeros(4)
    for image in batches:
        q = _probabilities(reference(image))
        try:
            p = _probabilities(engine(image))
        except Exception as error:          # whatever oneDNN raises for an operator that it cannot run; others wait for us
            print(f"{engine.name}: {str(error).strip() or type(error).__name__}", file=sys.stderr)
            return np.full(4, np.nan)
        sums += len(p), (p.argmax(1) == q.argmax(1)).sum(), np.abs(p - q).sum() / 2, p.size
    return sums


def _probabilities(logits: Tensor) -> np.ndarray:
    return log_softmax(logits).exp().numpy().astype(np.float64)


def settle_precision(engine: BFloat16Engine, compare: Callable[[], Agreement]) -> None:
    """Let `engine` run in bfloat16 if every process's CPU can and the answers agree; else stderr says why it stays in
    float32.

    Args:
        engine: of the teacher.
        compare: measures or recalls the agreement; not called where the CPU cannot.
    """
    if not gather_rows(np.array([[engine.candidate is not None]], np.int64)).all():
        agrees, reason = False, "a CPU at work here has neither avx512_bf16 nor amx_bf16"
    else:
        agreement = compare()
        agrees, reason = agreement.holds, str(agreement)
    engine.settle(agrees)
    if is_main() and agrees:
        print(f"engine: {engine.name}; compared with float32, {reason}", flush=True)
    elif is_main():
        print(f"engine: {engine.name} instead of onednn_bf16: {reason}", file=sys.stderr)


def spread_images(dataset, batch_size: int, num_workers: int = 0) -> Iterator[Tensor]:
    """IMAGES images, evenly spread over a training list, as the student sees them in its first pass.

    Each process gets its share; their union does not depend on how many there are.
    """
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(IMAGES, len(dataset))).astype(np.int64))
    share = SomeRows(dataset, rows[rank()::world_size()])
    return (batch["image"] for batch in in_order(share, batch_size, num_workers=num_workers)) if len(share) else iter(())
