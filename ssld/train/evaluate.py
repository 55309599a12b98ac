"""Accuracy of a network on a list, at any resolution."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import paddle

from ..data.dataset import READABLE, UnreadableImages
from ..data.loader import in_order
from ..data.manifest import Manifest
from ..device import rank, world_size
from ..errors import InputError
from ..teachers.engines import Engine
from .metrics import target_rank, topk_accuracy
from .parallel import gather_rows, together


class Evaluation(NamedTuple):
    """What was measured.

    Attributes:
        accuracy: "top1", "top5", ... in [0, 1].
        images: labelled images that were counted.
        unlabelled, unreadable: images that were not.
    """

    accuracy: dict[str, float]
    images: int
    unlabelled: int
    unreadable: int

    def __str__(self) -> str:
        parts = [f"{name} {100 * value:.2f} %" for name, value in self.accuracy.items()]
        left_out = [f"{n} {what}" for n, what in ((self.unlabelled, "unlabelled"), (self.unreadable, "unreadable")) if n]
        return f"{', '.join(parts)} of {self.images} images" + (f" ({', '.join(left_out)} left out)" if left_out else "")


def evaluate(network: Engine, dataset, batch_size: int, num_workers: int = 0, topk: Sequence[int] = (1, 5)) -> Evaluation:
    """Accuracy of `network` on the labelled images of `dataset`.

    Under several processes each takes a part, and every process gets the result of the whole list: results travel with
    the row of their image, so that the repeated samples of an uneven split are dropped by row.

    Args:
        network: images [B, 3, H, W] -> logits [B, C]; an engine, or a network in evaluation mode.
        dataset: an ImageNetDataset.
        batch_size: images per process and forward pass.
        topk: which accuracies.

    Raises:
        InputError: no labelled image, labels beyond the network's classes, or too many unreadable images.
    """
    if dataset.manifest.unlabelled == len(dataset):
        raise InputError(f"{dataset.manifest.source} has no labelled image, so there is no accuracy to measure. Lines must "
                         "be 'path label'.")
    unreadable, found = UnreadableImages(dataset), []
    with together():
        for batch in in_order(dataset, batch_size, rank(), world_size(), num_workers):
            with paddle.no_grad():
                logits = network(batch["image"]).numpy()
            for place in unreadable.update(batch["unreadable"].numpy()):
                print(f"warning: {place} cannot be read; it is left out", file=sys.stderr)
            found.append(_ranks(dataset.manifest, logits, batch))
    rows = gather_rows(np.concatenate(found))
    rows = rows[np.unique(rows[:, 0], return_index=True)[1]]
    rows = rows[rows[:, 0] >= 0]
    unreadable.update(np.setdiff1d(np.arange(len(dataset)), rows[:, 0]))        # those of the other processes count too
    labelled = rows[rows[:, 1] >= 0, 1]
    if not len(labelled):
        raise InputError(f"none of the labelled images of {dataset.manifest.source} can be read.")
    return Evaluation(topk_accuracy(labelled, topk), len(labelled), len(rows) - len(labelled), len(dataset) - len(rows))


def _ranks(manifest: Manifest, logits: np.ndarray, batch: dict) -> np.ndarray:
    """Row in the list and rank of the right class of each image, -1 for none; int64 [B, 2]."""
    label, index = batch["label"].numpy(), batch["index"].numpy()
    if label.max(initial=-1) >= logits.shape[1]:
        raise InputError(f"{manifest.place(int(index[label.argmax()]))}: label {label.max()} is out of range, the network has "
                         f"{logits.shape[1]} classes.")
    ranks = np.where(label < 0, -1, target_rank(logits, np.maximum(label, 0)))
    return np.stack([np.where(batch["unreadable"].numpy() == READABLE, index, -1), ranks], 1)
