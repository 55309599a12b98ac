"""Mixup and CutMix of a whole batch, under PaddleClas's names (DataLoader.Train.dataset.batch_transform_ops).

Only images are mixed. A mixed batch says with which row each of its rows was mixed ("partner", int64 [B]) and how much of
the own row is left ("share", float32 [B]); its labels are those of the unmixed rows, and a loss that reads labels weighs
those of both partners. A batch without these two entries is not mixed. A live teacher looks at the mixed image itself.
"""
from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import paddle
from paddle import Tensor

from ..checks import fraction, one_of, positive
from ..errors import InputError, located
from ..outputs import Batch
from ..registry import Registry, nearest, options_of

BATCH_OPERATORS = Registry("batch operator")
SAMPLER = "OpSampler"
_ORDERS = {"permutation": lambda rng, count: rng.random(count), "reversed": lambda rng, count: -np.arange(count)}


class BatchOperator:
    """Mixes each row of a batch with another one; one lambda and one order of partners (and one box) for the batch.

    Args:
        alpha: lambda, the share of the own row, is drawn from Beta(alpha, alpha), > 0.
        prob: share of the batches that it mixes, in [0, 1].
        partner: who is mixed with whom: a random permutation (a row may meet itself), or the batch in reversed order, for
            which it must have an even number of rows.
        within_image: partners are crops of the same image (equal "index"), which keeps their labels compatible; the only
            crop of an image stays as it is. FerKD's SelfMix.

    Source of within_image: Shen, "FerKD: Surgical Label Adaptation for Efficient Distillation", ICCV 2023.
    """

    def __init__(self, alpha: float, prob: float = 1.0, partner: str = "permutation", within_image: bool = False):
        self.alpha, self.prob = positive("alpha", alpha), fraction("prob", prob)
        self.order = one_of("partner", partner, _ORDERS)
        self.within_image = one_of("within_image", within_image, (True, False))
        self.in_pairs = partner == "reversed" and not within_image

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """The batch with mixed "image", and with "partner" and "share"."""
        partner = paddle.to_tensor(self.partners(batch, rng))
        image, share = self.blend(batch["image"], partner, rng.beta(self.alpha, self.alpha), rng)
        return {**batch, "image": image, "partner": partner, "share": paddle.full([len(partner)], share, "float32")}

    def partners(self, batch: Batch, rng: np.random.Generator) -> np.ndarray:
        """The row that each row is mixed with, a permutation, int64 [B].

        Raises:
            InputError: a reversed order in which one row would meet itself.
        """
        count = len(batch["image"])
        if self.in_pairs and count % 2:
            raise InputError(f"partner: reversed mixes the rows of a batch in pairs, but a batch has {count}. Use an even "
                             "batch_size, or partner: permutation.")
        group = batch["index"].numpy() if self.within_image else np.zeros(count, np.int64)
        partner = np.empty(count, np.int64)
        partner[np.lexsort((np.arange(count), group))] = np.lexsort((self.order(rng, count), group))
        return partner

    def blend(self, image: Tensor, partner: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, float]:
        """The mixed images, and the share that is left of the own rows."""
        raise NotImplementedError(f"{type(self).__name__} does not define how it mixes")


@BATCH_OPERATORS.register
class MixupOperator(BatchOperator):
    """lambda * own image + (1 - lambda) * partner's; see BatchOperator for the options.

    Source: Zhang et al., "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412.
    """

    def blend(self, image, partner, share, rng):
        return share * image + (1 - share) * paddle.gather(image, partner), share


@BATCH_OPERATORS.register
class CutmixOperator(BatchOperator):
    """A rectangle of the partner's image, pasted at its place; see BatchOperator for the options.

    Its sides are sqrt(1 - lambda) of the image's, its centre is any pixel; what sticks out is cut off, and lambda becomes the
    share of the pixels that are left.

    Source: Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
    arXiv:1905.04899.
    """

    def blend(self, image, partner, share, rng):
        height, width = image.shape[-2:]
        (top, bottom), (left, right) = (_interval(length, math.sqrt(1 - share), rng) for length in (height, width))
        area = (bottom - top) * (right - left)
        if not area:
            return image, 1.0
        mixed = image.clone()
        mixed[:, :, top:bottom, left:right] = paddle.gather(image[:, :, top:bottom, left:right], partner)
        return mixed, 1 - area / (height * width)


class Mix:
    """Mixes some batches: draws one of several operators, or none where their probabilities leave room.

    Args:
        operators: at least one.

    Raises:
        InputError: their probabilities add up to more than 1.
    """

    def __init__(self, operators: Sequence[BatchOperator]):
        total = sum(operator.prob for operator in operators)
        if total > 1 + 1e-9:                # 1e-9: such as 0.7 + 0.2 + 0.1
            raise InputError(f"the probabilities (prob) of the operators add up to {total:g}, which is more than 1.")
        self.operators = list(operators)

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """A mixed batch, or the batch itself. `rng` is that of the step, so that a resumed run draws the same."""
        drawn = rng.random()
        for operator in self.operators:
            if drawn < operator.prob:
                return operator(batch, rng)
            drawn -= operator.prob
        return batch


def build_mix(ops: list | None, where: str) -> Mix | None:
    """What `batch_transform_ops` says; None where that is empty.

    Args:
        ops: a list of one operator such as {MixupOperator: {alpha: 0.8}}, or of one
            {OpSampler: {MixupOperator: {alpha: 0.8, prob: 0.5}, CutmixOperator: {alpha: 1.0, prob: 0.5}}}.
        where: file and section, to open errors with.

    Raises:
        InputError: another form, an unknown operator or option, or values out of range.
    """
    if not ops:
        return None
    if not isinstance(ops, list) or len(ops) != 1 or not isinstance(ops[0], Mapping) or len(ops[0]) != 1:
        raise InputError(f"{where} must be a list of one operator such as 'MixupOperator: {{alpha: 0.8}}', not {ops!r}. To "
                         f"choose between several for each batch, put them into {SAMPLER}, each with its 'prob'.")
    (name, options), = ops[0].items()
    if name not in (SAMPLER, *BATCH_OPERATORS.names()):
        raise InputError(f"{where}: there is no batch operator '{name}'. {nearest(name, (SAMPLER, *BATCH_OPERATORS.names()))}")
    if name != SAMPLER:
        return Mix([BATCH_OPERATORS.build(name, options, where)])
    where = f"{where}.{SAMPLER}"
    operators = [_drawn(*each, where) for each in options_of(options, where).items()]
    if not operators:
        raise InputError(f"{where} is empty: expected operators such as 'MixupOperator: {{alpha: 0.8, prob: 0.5}}'.")
    with located(where):
        return Mix(operators)


def _drawn(name: str, options, where: str) -> BatchOperator:
    """An operator of an OpSampler, which has to say how often it is drawn."""
    if "prob" not in options_of(options, f"{where}.{name}"):
        raise InputError(f"{where}.{name} needs the option 'prob', the share of the batches that it mixes.")
    return BATCH_OPERATORS.build(name, options, where)


def _interval(length: int, ratio: float, rng: np.random.Generator) -> tuple[int, int]:
    """First and last + 1 of `ratio` of `length` pixels around a random one, cut off at the ends."""
    half, centre = int(length * ratio) // 2, int(rng.integers(length))
    return max(centre - half, 0), min(centre + half, length)
