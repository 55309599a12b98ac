"""Top-k accuracy."""
from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def target_rank(logits: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How many classes score higher than the right one: [B, C], int64 [B] -> int64 [B], 0 for a correct answer.

    Among equal scores the lower class number counts as higher, as argmax has it. A row that holds NaN is wrong in
    every rank.
    """
    rows = np.arange(len(label))
    own = logits[rows, label][:, None]
    classes = np.arange(logits.shape[1])
    above = (logits > own) | ((logits == own) & (classes < label[:, None]))
    rank = above.sum(1).astype(np.int64)
    rank[np.isnan(logits).any(1)] = np.iinfo(np.int64).max
    return rank


def topk_accuracy(rank: np.ndarray, topk: Sequence[int] = (1, 5)) -> dict[str, float]:
    """{"top1": ..., "top5": ...} in [0, 1] from the ranks of `target_rank`; NaN without any row."""
    return {f"top{k}": float((rank < k).mean()) if len(rank) else float("nan") for k in topk}
