"""FerKD: not all crops of an image are worth learning from, and not all labels that a teacher gives them."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..checks import below_one, fraction, one_of, positive_int
from ..errors import InputError
from .codec import Codec
from .sparse import SparseLabels
from .store import Store

SCORES = ("max", "gt")
_BINS = 20


class FerKD:
    """Sorts crops by the teacher's confidence s: those below `discard_below` or above `discard_above` are left out; those below
    `hard_below` get the true class as their label, softened; the others keep what the teacher says.

    Of an image without any crop in between, the one with the highest score is kept.

    Args:
        discard_below, hard_below, discard_above: 0 <= discard_below <= hard_below <= discard_above <= 1.
        epsilon: probability that a softened label spreads over the wrong classes, in [0, 1).
        score: what s is: "max", the teacher's highest probability, or "gt", that of the true class. Of a true class that is
            not among those kept it is what marginal smoothing gives it.

    Raises:
        InputError: thresholds out of order.

    Source: Shen, "FerKD: Surgical Label Adaptation for Efficient Distillation", ICCV 2023. The paper's thresholds are not
        published, hence no defaults; nor is which of the two scores it means.
    """

    def __init__(self, discard_below: float, hard_below: float, discard_above: float, epsilon: float, score: str = "max"):
        thresholds = {"discard_below": discard_below, "hard_below": hard_below, "discard_above": discard_above}
        for name, value in thresholds.items():
            fraction(name, value)
        if not discard_below <= hard_below <= discard_above:
            raise InputError(f"expected discard_below <= hard_below <= discard_above, not {thresholds}.")
        self.discard_below, self.hard_below, self.discard_above = discard_below, hard_below, discard_above
        self.epsilon, self.score = below_one("epsilon", epsilon), one_of("score", score, dict(zip(SCORES, SCORES)))

    def scores(self, codec: Codec, records: np.ndarray, label: int) -> np.ndarray:
        """The teacher's confidence in each crop of an image, float32 [n].

        Raises:
            InputError: an image without label, or a store of hard labels, which hold no confidence.
        """
        if label < 0:
            raise InputError("FerKD needs the true class of every image, but one has none (label -1). Leave out FerKD, or the "
                             "images without label.")
        if codec.kind == "hard":
            raise InputError(f"FerKD needs the teacher's confidence, but {codec.where} holds hard labels only.")
        if self.score == "max":
            return codec.top(records, 1)[1][:, 0]
        if codec.kind == "full":
            return codec.dense(records)[:, label]
        labels = codec.sparse(records, "marginal_smoothing")
        return labels.rest + np.where(labels.ids == label, labels.excess, 0).sum(axis=1)

    def usable(self, codec: Codec, records: np.ndarray, label: int) -> np.ndarray:
        """Which crops of an image to learn from: int64, ascending, at least one.

        Args:
            codec: of the records.
            records: all of an image, [M].
            label: its true class.

        Raises:
            InputError: as of `scores`.
        """
        return self._usable(self.scores(codec, records, label))

    def adapt(self, codec: Codec, records: np.ndarray, labels: SparseLabels, label: int) -> SparseLabels:
        """The labels of some crops of an image, with those of hard crops replaced.

        Args:
            codec, records, label: as of `usable`.
            labels: of the same crops.

        Raises:
            InputError: as of `scores`.
        """
        hard, others = self._hard(codec, records, label), self.epsilon / (codec.class_num - 1)
        first = np.arange(labels.ids.shape[1]) == 0         # the excess of the true class; further places stay without
        excess = np.where(first, 1 - self.epsilon - others, 0)
        return SparseLabels(np.where(hard[:, None], label, labels.ids),
                            np.where(hard[:, None], excess, labels.excess).astype(np.float32),
                            np.where(hard, others, labels.rest).astype(np.float32))

    def adapt_dense(self, codec: Codec, records: np.ndarray, labels: np.ndarray, label: int) -> np.ndarray:
        """What `adapt` does, for labels float32 [n, C]."""
        true = np.full(codec.class_num, self.epsilon / (codec.class_num - 1), np.float32)
        true[label] = 1 - self.epsilon
        return np.where(self._hard(codec, records, label)[:, None], true, labels)

    def survey(self, store: Store, labels: np.ndarray, images: int = 10_000) -> Survey:
        """What these thresholds do to a store.

        Args:
            store: to look at.
            labels: int64 [N], true class of each of the store's images; -1 for those that are not trained on.
            images: how many to look at, at most; they are spread evenly over the readable ones.

        Raises:
            InputError: as of `scores`; no image is readable and labelled.
        """
        readable = np.flatnonzero(store.images.readable & (labels >= 0))
        if not len(readable):
            raise InputError(f"none of the {len(store.images.path):,} images of {store.folder} is readable and labelled.")
        count = min(positive_int("images", images), len(readable))
        counts, left_out, hard, without = np.zeros(_BINS, np.int64), 0, 0, 0
        for row in readable[np.arange(count) * len(readable) // count].tolist():
            scores = self.scores(store.codec, store.records(row), int(labels[row]))
            counts += np.histogram(scores, _BINS, (0, 1))[0]
            usable = self._usable(scores)
            left_out += len(scores) - len(usable)
            hard += int((scores[usable] < self.hard_below).sum())
            without += not self._informative(scores).any()
        crops = count * store.crops
        return Survey(self.score, count, len(readable), counts / crops, left_out / crops, hard / crops,
                      1 - (left_out + hard) / crops, without)

    def _hard(self, codec: Codec, records: np.ndarray, label: int) -> np.ndarray:
        return self.scores(codec, records, label) < self.hard_below

    def _informative(self, scores: np.ndarray) -> np.ndarray:
        return (scores >= self.discard_below) & (scores <= self.discard_above)

    def _usable(self, scores: np.ndarray) -> np.ndarray:
        found = np.flatnonzero(self._informative(scores))
        return found if len(found) else scores.argmax(keepdims=True)


class Survey(NamedTuple):
    """What FerKD does to a store.

    Attributes:
        score: "max" or "gt".
        images, of: images looked at, and how many could be.
        histogram: float64 [20], shares of the crops by score, in equal steps from 0 to 1.
        discarded, hard, kept: shares of the crops; they sum to 1.
        without: images that keep one crop only because there must be one.
    """

    score: str
    images: int
    of: int
    histogram: np.ndarray
    discarded: float
    hard: float
    kept: float
    without: int

    def text(self) -> str:
        """A report of a few lines, for the terminal and the log."""
        bars = (f"  {place / _BINS:.2f} - {(place + 1) / _BINS:.2f}  {share:7.2%}  {'#' * round(50 * share)}"
                for place, share in enumerate(self.histogram))
        return "\n".join([
            f"FerKD, {self.images:,} of {self.of:,} images looked at: {self.discarded:.1%} of the crops are left out, "
            f"{self.hard:.1%} get the true class, {self.kept:.1%} keep the teacher's label; {self.without:,} images keep one "
            "crop only because there must be one.", f"Crops by the teacher's confidence ({self.score}):", *bars])
