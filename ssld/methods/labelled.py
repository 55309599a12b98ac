"""Losses on labels where some images of the list have none."""
from __future__ import annotations

import paddle
from paddle import Tensor

from ..checks import one_of
from ..outputs import Batch

_NEEDS = {"refuse": frozenset({"label"}), "skip": frozenset()}       # what `unlabelled` means for a list with unlabelled images


def needs_labels(unlabelled: str) -> frozenset[str]:
    """What a loss needs: refuse, a label of every image; skip, nothing, since images without one count as a loss of 0."""
    return one_of("unlabelled", unlabelled, _NEEDS)


def with_labels(batch: Batch) -> tuple[Batch, Tensor]:
    """The batch with labels that can be looked up, and which rows count: 1 where all labels of the image are known, else 0.

    Of a mixed image both partners' labels are needed, unless it is all of one.

    Returns:
        The batch, its labels >= 0, and float32 [B].
    """
    known = batch["label"] >= 0
    rows = known
    if "partner" in batch:
        rows = known & (paddle.gather(known, batch["partner"]) | (batch["share"] == 1))
    return {**batch, "label": batch["label"].clip(min=0)}, rows.astype("float32")
