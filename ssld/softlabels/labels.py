"""What a store says about the images of a training list, visit by visit."""
from __future__ import annotations

import numpy as np

from ..data.dataset import Visit
from .choice import choose
from .crops import Crops
from .ferkd import FerKD
from .store import Store

IDS, EXCESS, REST, FULL = "label_ids", "label_excess", "label_rest", "soft_label"      # entries of a batch


class StoredLabels:
    """The crops of each visit with their labels.

    Args:
        store: of soft labels.
        rows: int64 [N], row in the store of each image of the list.
        policy: which of an image's crops a visit shows, see ssld.softlabels.choice.
        kind, k: form of the labels; what the store has, or less.
        seed: of the choice.
        ferkd: which crops are left out, and which labels are replaced, or None.
    """

    def __init__(self, store: Store, rows: np.ndarray, policy: str, kind: str, k: int, seed: int = 0,
                 ferkd: FerKD | None = None):
        self.store, self.rows, self.policy, self.kind, self.k = store, rows, policy, kind, k
        self.seed, self.ferkd = seed, ferkd

    def size(self, row: int) -> tuple[int, int]:
        """Height and width of an image when its crops were drawn, pixels."""
        images, row = self.store.images, self.rows[row]
        return int(images.height[row]), int(images.width[row])

    def visit(self, visit: Visit, label: int) -> tuple[Crops, dict[str, np.ndarray]]:
        """The crops of a visit, and the entries of the batch that hold their labels.

        Args:
            visit: of row `visit.row` of the list; `visit.crops` crops.
            label: true class of the image; FerKD reads it.

        Returns:
            Crops [m]; IDS [m, K], EXCESS [m, K] and REST [m] (see ssld.softlabels.sparse), or FULL [m, class_num].
        """
        records, codec = self.store.records(int(self.rows[visit.row])), self.store.codec
        usable = np.arange(len(records)) if self.ferkd is None else self.ferkd.usable(codec, records, label)
        chosen = records[usable[choose(self.policy, self.seed, visit.row, visit.pass_, visit.crops, len(usable))]]
        crops = codec.crops(chosen)
        if self.kind == "full":
            dense = codec.dense(chosen)
            return crops, {FULL: dense if self.ferkd is None else self.ferkd.adapt_dense(codec, chosen, dense, label)}
        sparse = codec.sparse(chosen, self.kind, self.k)
        if self.ferkd is not None:
            sparse = self.ferkd.adapt(codec, chosen, sparse, label)
        return crops, {IDS: sparse.ids, EXCESS: sparse.excess, REST: sparse.rest}
