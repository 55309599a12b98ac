"""Records of fixed size: a crop and the label that a teacher gave it."""
from __future__ import annotations

import numpy as np

from ..checks import one_of, positive_int
from ..errors import InputError
from .crops import Crops
from .distributions import check_distributions, check_pairs, greatest
from .sparse import SparseLabels

KINDS = ("hard", "smoothing", "marginal_smoothing", "marginal_renorm", "full")
MARGINAL = ("marginal_smoothing", "marginal_renorm")
MOST_CLASSES = 65_535           # what 16 bits number
_ONE = 65_535                   # stands for probability 1
_PROBABILITY = (np.arange(_ONE + 1) / _ONE).astype(np.float32)      # of each code; looking up takes less time than dividing
_FLIP = 1 << 15                 # bit of `top`
_WITHOUT_FLIP = np.array([_FLIP - 1, _ONE, _ONE, _ONE])


class Codec:
    """Distributions to records and back.

    A record is little-endian: box uint16 [4], top, left, height, width, bit 15 of top = mirrored; then
      hard: cls uint16 [1], the most probable class;
      smoothing, marginal_smoothing, marginal_renorm: cls uint16 [K], descending, prob uint16 [K] = floor(65535 p);
      full: log float16 [C], logarithms, since half-precision probabilities would lose everything below 6e-8.
    What is recovered from the K kept pairs (c_i, v_i), S = sum v_i, of C classes:
      hard: 1 for c_1;  smoothing: as marginal_smoothing with K = 1;
      marginal_smoothing: v_i for c_i, (1 - S) / (C - K) for others; if rounding made S > 1, v_i / S and 0;
      marginal_renorm: v_i / S for c_i, 0 for others;  full: all of it, normalised.
    Records can be read as any kind that needs no more than what they keep.

    Args:
        kind: one of KINDS.
        k: classes kept by the marginal kinds; None for the others.
        class_num: C, at most 65,535.
        where: what holds the records, for errors.

    Attributes:
        kind, class_num: as given.
        k: classes kept: 1 for hard and smoothing, C for full.
        dtype: of a record.

    Raises:
        InputError: a kind, number of classes or K that there cannot be.

    Source: Shen & Xing, "A Fast Knowledge Distillation Framework for Visual Recognition", arXiv:2112.01528, section 3.
    """

    def __init__(self, kind: str, k: int | None, class_num: int, where: str = "the store"):
        one_of("kind", kind, KINDS)
        if positive_int("class_num", class_num) > MOST_CLASSES:
            raise InputError(f"class_num is {class_num:,}; soft labels are stored for at most {MOST_CLASSES:,} classes.")
        self.kind, self.k, self.class_num, self.where = kind, _kept(kind, k, class_num), class_num, where
        label = {"full": [("log", "<f2", (self.k,))], "hard": [("cls", "<u2", (1,))]}
        pairs = [("cls", "<u2", (self.k,)), ("prob", "<u2", (self.k,))]
        self.dtype = np.dtype([("box", "<u2", (4,)), *label.get(kind, pairs)])

    def fields(self) -> list:
        """Name, type and length of each field of a record, as JSON holds them."""
        return [[name, self.dtype[name].base.str, *self.dtype[name].shape] for name in self.dtype.names]

    def encode(self, probabilities: np.ndarray, crops: Crops) -> np.ndarray:
        """Records [n] of what a teacher says about crops.

        Args:
            probabilities: float [n, C], rows sum to 1.
            crops: n of them.

        Raises:
            InputError: rows that are no distributions.
        """
        check_distributions(probabilities, self.class_num, self.where)
        if self.kind != "full":
            return self.encode_top(*greatest(probabilities, self.k), crops)
        records = self._of(crops)
        with np.errstate(divide="ignore"):              # the logarithm of 0 is stored as -inf, which reads as 0 again
            records["log"] = np.log(probabilities)
        return records

    def encode_top(self, ids: np.ndarray, probabilities: np.ndarray, crops: Crops) -> np.ndarray:
        """Records [n] of labels of which only the most probable classes are known; not for kind full.

        Args:
            ids: int64 [n, K], descending probability.
            probabilities: float [n, K]; of a hard label they are not looked at.
            crops: n of them.

        Raises:
            InputError: ids that are no classes or repeated; probabilities that cannot be those of one label.
        """
        hard = self.kind == "hard"
        check_pairs(ids, np.ones(ids.shape) if hard else probabilities, self.class_num, self.where)
        records = self._of(crops)
        records["cls"] = ids
        if not hard:
            kept = probabilities.astype(np.float64)
            total = kept.sum(axis=1, keepdims=True)             # half precision may have made more than 1 of it
            records["prob"] = np.floor(kept / np.maximum(total, 1) * _ONE)
        return records

    def crops(self, records: np.ndarray) -> Crops:
        """The crops of records."""
        box = records["box"].astype(np.int64)
        return Crops(box & _WITHOUT_FLIP, box[:, 0] >= _FLIP)

    def top(self, records: np.ndarray, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """What is kept of the k most probable classes (by default all that is kept).

        Returns:
            ids int64 [n, k] and probabilities float32 [n, k], descending; 1 for the class of a hard label.

        Raises:
            InputError: an id beyond class_num.
        """
        k = self.k if k is None else k
        if self.kind == "full":
            return greatest(self._full(records), k)
        ids = records["cls"][:, :k].astype(np.int64)
        if ids.max(initial=0) >= self.class_num:
            raise InputError(f"{self.where} holds the class {ids.max()}, but is for {self.class_num} classes (0 to "
                             f"{self.class_num - 1}). It was altered: copy it again, or generate it again.")
        if self.kind == "hard":
            return ids, np.ones(ids.shape, np.float32)
        return ids, _PROBABILITY.take(records["prob"][:, :k])

    def mass(self, records: np.ndarray) -> np.ndarray:
        """Sum of the kept probabilities, float32 [n]; 1 of full and of hard labels."""
        if self.kind in ("hard", "full"):
            return np.ones(len(records), np.float32)
        return self.top(records)[1].sum(axis=1)

    def sparse(self, records: np.ndarray, kind: str | None = None, k: int | None = None) -> SparseLabels:
        """Labels of records as the classes that stand out and the rest.

        Args:
            records: [n].
            kind: as what they are read; not full.
            k: of the marginal kinds; all that is kept by default.

        Raises:
            InputError: more is asked than is stored.
        """
        kind, k = self.check_request(kind, k)
        if kind == "full":
            raise InputError(f"{self.where} is read as kind full, which has no sparse form. Read it as another kind.")
        ids, kept = self.top(records, k)
        if kind == "hard":
            return SparseLabels(ids, np.ones(ids.shape, np.float32), np.zeros(len(ids), np.float32))
        total = kept.sum(axis=1, keepdims=True)
        if kind == "marginal_renorm" or k == self.class_num:            # nothing is left for other classes
            return SparseLabels(ids, kept / np.maximum(total, 1e-12), np.zeros(len(ids), np.float32))
        if total.max(initial=0) > 1:            # by rounding; seldom, and each operation takes as long as reading the record
            kept, total = kept / np.maximum(total, 1), np.minimum(total, 1)
        rest = (1 - total) / (self.class_num - k)
        return SparseLabels(ids, kept - rest, rest[:, 0])

    def dense(self, records: np.ndarray, kind: str | None = None, k: int | None = None) -> np.ndarray:
        """Labels of records as float32 [n, C]; arguments and errors as of `sparse`, and kind may be full."""
        if self.check_request(kind, k)[0] == "full":
            return self._full(records)
        return self.sparse(records, kind, k).dense(self.class_num)

    def check_request(self, kind: str | None, k: int | None) -> tuple[str, int]:
        """The kind and K that are meant, if they can be served.

        Raises:
            InputError: more is asked than is stored.
        """
        kind = self.kind if kind is None else one_of("kind", kind, dict(zip(KINDS, KINDS)))
        if kind in MARGINAL and k is None and self.kind != "full":
            k = self.k
        wanted = _kept(kind, k, self.class_num)
        if wanted > self.k or kind == "full" != self.kind or self.kind == "hard" != kind:
            raise InputError(f"{self.where} holds kind {self.kind} with K = {self.k} and cannot be read as {kind} with "
                             f"K = {wanted}. Ask for less, or generate a store that keeps more.")
        return kind, wanted

    def _full(self, records: np.ndarray) -> np.ndarray:
        dense = np.exp(records["log"].astype(np.float32))
        return dense / np.maximum(dense.sum(axis=1, keepdims=True), 1e-12)

    def _of(self, crops: Crops) -> np.ndarray:
        """Records that hold the crops, and no label yet."""
        records = np.zeros(len(crops.box), self.dtype)
        records["box"] = crops.box
        records["box"][:, 0] |= np.where(crops.flip, _FLIP, 0).astype(np.uint16)
        return records


def _kept(kind: str, k: int | None, class_num: int) -> int:
    """How many classes of a kind are kept."""
    implied = {"hard": 1, "smoothing": 1, "full": class_num}
    if kind in implied:
        if k not in (None, implied[kind]):
            raise InputError(f"kind {kind} takes no K (K = {k} was given); only {' and '.join(MARGINAL)} do.")
        return implied[kind]
    if positive_int("K", k) > class_num:
        raise InputError(f"K = {k} classes cannot be kept of {class_num}.")
    return k
