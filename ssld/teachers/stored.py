"""A teacher that was asked before training, once about each crop; see ssld.softlabels."""
from __future__ import annotations

from functools import cached_property

import paddle
from paddle import Tensor

from ..outputs import Batch
from ..softlabels.labels import EXCESS, FULL, IDS, REST
from ..softlabels.store import Store
from ..softlabels.targets import SparseTargets
from .record import TeacherIdentity

_FLOOR = 1e-12                  # a class that a label leaves out; its logarithm has to be finite


class StoredTeacher:
    """Gives the labels that come with a batch's crops.

    Args:
        store: where they come from.
    """

    provides = frozenset({"probabilities"})

    def __init__(self, store: Store):
        self.store = store
        self.identity = TeacherIdentity("stored soft labels", store.class_num, str(store.folder), store.sha256, "stored",
                                        "running")

    def __call__(self, batch: Batch) -> StoredOutputs:
        return StoredOutputs(batch, self.store.class_num)


class StoredOutputs:
    """What stored labels say about a batch: as Outputs, but nothing of the width class_num is made before it is asked for.

    Where images were mixed, their labels are mixed alike.

    Args:
        batch: with stored labels.
        class_num: number of classes.
    """

    features: dict = {}
    aux = None

    def __init__(self, batch: Batch, class_num: int):
        self.batch, self.class_num = batch, class_num
        self._sparse = None if FULL in batch else SparseTargets(batch[IDS], batch[EXCESS], batch[REST])
        self._mix = (batch["partner"], batch["share"]) if "partner" in batch else None

    @property
    def unmixed(self) -> StoredOutputs:
        """What is said of each crop before it was mixed."""
        return StoredOutputs({name: value for name, value in self.batch.items() if name not in ("partner", "share")},
                             self.class_num)

    @cached_property
    def probabilities(self) -> Tensor:
        """The labels of what the student sees, float32 [B, class_num]; rows sum to 1."""
        if self._sparse is not None:
            return self._mixed_sparse.dense(self.class_num)
        labels = self.batch[FULL]
        if self._mix is None:
            return labels
        partner, share = self._mix
        share = share.unsqueeze(-1)
        return share * labels + (1 - share) * paddle.gather(labels, partner)

    @property
    def logits(self) -> Tensor:
        """Their logarithms, finite also for classes that a label leaves out."""
        return self.probabilities.clip(min=_FLOOR).log()

    def cross_entropy(self, log_p: Tensor) -> Tensor:
        """- sum_c q_c log p_c of each row: [B, class_num] -> [B]."""
        if self._sparse is None:
            return -(self.probabilities * log_p).sum(-1)
        return self._mixed_sparse.cross_entropy(log_p)

    def entropy(self) -> Tensor:
        """- sum_c q_c log q_c of each row, float32 [B]."""
        if self._sparse is None:
            return -(self.probabilities * self.logits).sum(-1)
        return self._mixed_sparse.entropy(self.class_num)

    @property
    def _mixed_sparse(self) -> SparseTargets:
        return self._sparse if self._mix is None else self._sparse.mixed(*self._mix)
