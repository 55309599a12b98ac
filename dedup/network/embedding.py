"""A network as a source of candidates: a function `embed`, files -> array [n, D], and its rows at unit length."""
from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Optional

import numpy as np

from ..errors import InputError

Embed = Callable[[Sequence[str]], np.ndarray]
CHUNK = 64                      # pictures handed to an embedding at once
_DECIMALS = 6                   # of a cosine
_MARGIN = 1e-4                  # more than float32 sums of the same products, added in other orders, can differ by
_EXPECTED = "Expected package.module:name of a function that takes a list of files and returns an array [files, D]."


def embed_all(embed: Optional[Embed], files: Sequence[str]) -> np.ndarray:
    """Unit rows float32 [n, D] of all files; D = 0 without a network. A row of zeros stays one.

    Raises:
        InputError: `embed` returns anything but one row of finite numbers per file.
    """
    if embed is None or not files:
        return np.zeros((len(files), 0), np.float32)
    rows = np.concatenate([_rows(embed, files[s:s + CHUNK]) for s in range(0, len(files), CHUNK)])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _rows(embed: Embed, files: Sequence[str]) -> np.ndarray:
    rows = np.asarray(embed(files), np.float32)
    if rows.ndim != 2 or len(rows) != len(files):
        raise InputError(f"embed returned an array of shape {rows.shape} for {len(files)} files; expected one row of "
                         "numbers per file.")
    if not np.isfinite(rows).all():
        worst = files[int(np.argmin(np.isfinite(rows).all(axis=1)))]
        raise InputError(f"embed returned numbers for {worst} that are not finite. Are the weights of the network whole?")
    return rows


class Cosines:
    """Cosines of one picture with all references, the same to the last digit whatever is compared beside it.

    The product of two float32 matrices rounds differently for other numbers of rows, so it only says where to look.

    Args:
        vector: float32 [D], unit length, of the picture.
        references: float32 [N, D], unit rows.
        rough: float32 [N], `references @ vector` in any order of summation.
    """

    def __init__(self, vector: np.ndarray, references: np.ndarray, rough: np.ndarray):
        self.vector, self.references, self.rough = vector.astype(np.float64), references, rough

    def at(self, row: int) -> float:
        """The cosine with one reference, to six decimals."""
        return float(self._exact(np.array([row]))[0])

    def above(self, threshold: float, limit: Optional[int] = None) -> list[tuple[int, float]]:
        """(row, cosine) of the references from `threshold` on, the best `limit` of them; ties by row."""
        rows = np.flatnonzero(self.rough >= threshold - _MARGIN)
        if limit is not None and len(rows) > limit:
            last = np.partition(self.rough[rows], -limit)[-limit]
            rows = rows[self.rough[rows] >= last - 2 * _MARGIN]
        cosines = self._exact(rows)
        order = np.lexsort((rows, -cosines))[:limit]
        return [(int(rows[i]), float(cosines[i])) for i in order if cosines[i] >= threshold]

    def _exact(self, rows: np.ndarray) -> np.ndarray:
        return np.round(self.references[rows].astype(np.float64) @ self.vector, _DECIMALS)


def all_cosines(vectors: np.ndarray, references: np.ndarray) -> list[Cosines]:
    """`Cosines` of each picture; vectors [n, D] and references [N, D] have unit rows."""
    if not len(vectors):
        return []                   # whose D is unknown
    return [Cosines(vector, references, rough) for vector, rough in zip(vectors, vectors @ references.T)]


def load_embed(name: str) -> Embed:
    """The `embed` function called `package.module:name`.

    Raises:
        InputError: no such module or name, the module fails when it is imported, or what it names is no function.
    """
    module_name, colon, path = name.partition(":")
    if not (colon and module_name and path):
        raise InputError(f"{name!r} names no embed function. {_EXPECTED}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:      # a module may fail in any way
        raise InputError(f"{name}: the module {module_name} cannot be imported ({type(error).__name__}: {error}). Is it "
                         "installed, or does its folder stand in PYTHONPATH?") from error
    try:
        embed = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        raise InputError(f"{name}: {error}. {_EXPECTED}") from error
    if isinstance(embed, type) or not callable(embed):
        what = "a class" if isinstance(embed, type) else f"a {type(embed).__name__}"
        raise InputError(f"{name} is {what}, not a function. {_EXPECTED}")
    return embed
