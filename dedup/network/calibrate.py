"""Measures the cosines that mean "perhaps a copy" and "surely a copy" for one network: no two networks agree on them.

Copies of evaluation pictures are planted and looked for; other pictures show what would be removed by mistake.
"""
from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Optional

import numpy as np

from ..errors import InputError
from ..images import ImageError, decode_colour, read_bytes
from ..index import ReferenceIndex
from ..options import Options
from ..source import Source
from .calibration import Calibration, Copies, Others, decide, tail_size
from .embedding import CHUNK, Embed, embed_all
from .plant import EDITS, digest_of, plant

_SURELY_CHECKED = 10            # of the other pictures, however few decide
_DECIMALS = 6


def calibrate(evaluation: Source, embed: Embed, options: Options, others: Optional[Source] = None, *, images: int = 200,
              max_others: int = 2000, seed: int = 0, map: Callable = map,
              progress: Callable[[int, int], None] = lambda done, total: None) -> Calibration:
    """Measure the thresholds of a network.

        t_cand = the largest cosine at which 99 % of the copies have their source among the `options.candidates`
                 nearest references; of those within reach where that cannot be
        t_auto = the smallest cosine that at most 0.1 % of the other pictures reach with any reference

    Args:
        evaluation: the pictures whose copies are looked for.
        embed: files -> float array [n, D] of the network. It is given planted files too; rows need no unit length.
        options: `embedding` names the network; `candidates` and whatever the comparison without a network needs.
        others: pictures like those of the pool. Those that copy an evaluation picture, as far as bytes, hash and
            geometry tell, are left out. By default every evaluation picture is one among all the others.
        images: evaluation pictures that copies are planted of, each edited in every way.
        max_others: other pictures used, each plain and edited in one way; it counts once, with the larger cosine.
        seed: of samples and edits.
        map: how pictures are read and planted, such as `executor.map`.
        progress: called with the number of pictures embedded, and of all.

    Raises:
        InputError: no name of the network, no readable evaluation picture, or fewer than one picture asked for.
    """
    if not options.embedding:
        raise InputError("the option embedding is empty: give the network that is calibrated a name.")
    if images < 1 or max_others < 1:
        raise InputError(f"images and max_others must be at least 1, got {images} and {max_others}.")
    references, unreadable = _readable(evaluation, sorted(evaluation.paths), map)
    if not references:
        raise InputError(f"{evaluation.name}: none of its {len(evaluation.paths)} images can be read. Is "
                         f"{evaluation.root} the right root?")
    sources, pictures, unread = _sample(references, images, seed), _sample(references, max_others, seed), 0
    if others is not None:
        pictures, unread = _readable(others, _sample(others.paths, max_others, seed), map)
    elif len(references) == 1:
        pictures = []                   # there is nothing that it could be mistaken for
    asked = len(references) + len(sources) * len(EDITS) + len(pictures) * (1 if others is None else 2)
    embed = _Counting(embed, progress, asked)
    vectors = embed_all(embed, _files(evaluation, references))
    bench = _Bench(evaluation, references, vectors, embed, options, seed, map)
    copies = bench.copies(sources)
    found, excluded = bench.others(others or evaluation, pictures, is_apart=others is not None)
    return decide(options.embedding, options.candidates, len(references), copies, found, excluded, unreadable + unread)


class _Bench:
    """References under a network, and other pictures beside them."""

    def __init__(self, evaluation: Source, references: list[str], vectors: np.ndarray, embed: Embed, options: Options,
                 seed: int, map: Callable):
        self.evaluation, self.references, self.vectors, self.embed = evaluation, references, vectors, embed
        self.options, self.seed, self.map = options, seed, map
        self.row_of = {name: row for row, name in enumerate(references)}

    def copies(self, names: Sequence[str]) -> Copies:
        """Plant every edit of every picture and compare it with all references."""
        cosines, ranks = [], []
        rows = np.array([self.row_of[name] for name in names])
        for edit in EDITS:
            planted = self._planted(self.evaluation, [(name, edit) for name in names])
            for part in _chunks(len(planted)):
                scores = self._cosines(planted[part])
                own = scores[np.arange(len(scores)), rows[part]]
                cosines.append(own)
                ranks.append((scores > own[:, None]).sum(axis=1))
        return Copies(np.repeat(list(EDITS), len(names)), np.concatenate(cosines), np.concatenate(ranks))

    def others(self, source: Source, names: list[str], is_apart: bool) -> tuple[Others, int]:
        """Pictures that copy no reference with their nearest one, and how many were left out because they do.

        Only the nearest decide about thresholds, so the pictures are checked in falling order of their cosine until
        enough are known to be no copies.

        Args:
            source: of the pictures.
            names: of the pictures.
            is_apart: are they no references? Otherwise none is compared with itself.
        """
        rows, cosines = self._nearest(source, names, is_apart)
        order = sorted(range(len(rows)), key=lambda i: (-cosines[i, 0], names[i]))
        copying: set[int] = set()
        for place, i in enumerate(order):
            if place - len(copying) >= max(_SURELY_CHECKED, tail_size(len(order) - len(copying)) + 1):
                break
            if self._is_copy(source, names[i], [self.references[row] for row in rows[i]]):
                copying.add(i)
        left = [i for i in order if i not in copying]
        return Others([names[i] for i in left], [self.references[rows[i, 0]] for i in left], cosines[left, 0]), len(copying)

    def _nearest(self, source: Source, names: list[str], is_apart: bool) -> tuple[np.ndarray, np.ndarray]:
        """Rows and cosines [n, k] of the references most like each picture, plain or edited in one way."""
        keep = max(1, min(self.options.candidates, len(self.references) - (not is_apart)))
        rows, cosines = np.zeros((len(names), keep), np.int64), np.zeros((len(names), keep), np.float32)
        plain = embed_all(self.embed, _files(source, names)) if is_apart else self.vectors[[self.row_of[n] for n in names]]
        edited = self._planted(source, [(name, self._edit_of(name)) for name in names])
        for part in _chunks(len(names)):
            scores = np.maximum(self._cosines(plain[part]), self._cosines(edited[part]))
            if not is_apart:
                scores[np.arange(len(scores)), [self.row_of[n] for n in names[part]]] = -np.inf
            rows[part] = np.argsort(-scores, axis=1, kind="stable")[:, :keep]
            cosines[part] = np.take_along_axis(scores, rows[part], axis=1)
        return rows, cosines

    def _cosines(self, rows: np.ndarray) -> np.ndarray:
        """[n, N], rounded so that equal references come out equal."""
        return np.round(rows @ self.vectors.T, _DECIMALS)

    def _edit_of(self, name: str) -> str:
        return list(EDITS)[int.from_bytes(digest_of(self.seed, "edit", name)[:4], "big") % len(EDITS)]

    def _planted(self, source: Source, pairs: list[tuple[str, str]]) -> np.ndarray:
        """Unit rows [n, D] of edited copies, which exist for no longer than that takes."""
        with tempfile.TemporaryDirectory(prefix="dedup-planted-") as folder:
            files = [os.path.join(folder, f"{number:06d}.jpg") for number in range(len(pairs))]
            try:
                list(self.map(partial(_plant, source.root, self.seed), pairs, files))
            except OSError as error:
                raise InputError(f"copies could not be planted in {folder}: {error.strerror or error}. Free some space, or "
                                 "set TMPDIR to a folder that has some.") from error
            return embed_all(self.embed, files)

    def _is_copy(self, source: Source, name: str, references: list[str]) -> bool:
        """Does a picture copy one of these references, as far as bytes, hash and geometry tell?"""
        without = replace(self.options, embedding="", t_auto=None)
        index = ReferenceIndex.build(references, without, self.evaluation.root)
        return bool(index.match([name], source.root).matches)


class _Counting:
    """An embedding that says how far it is."""

    def __init__(self, embed: Embed, progress: Callable[[int, int], None], total: int):
        self.embed, self.progress, self.total, self.done = embed, progress, total, 0

    def __call__(self, files: Sequence[str]) -> np.ndarray:
        rows = self.embed(files)
        self.done += len(files)
        self.progress(self.done, self.total)
        return rows


def _plant(root: str, seed: int, pair: tuple[str, str], file: str) -> None:
    name, edit = pair
    plant(os.path.join(root, name), name, edit, seed, file)


def _readable(source: Source, names: list[str], map: Callable) -> tuple[list[str], int]:
    """The names whose pictures can be read, and the number of the others."""
    readable = [name for name, good in zip(names, map(_is_readable, _files(source, names))) if good]
    return readable, len(names) - len(readable)


def _is_readable(file: str) -> bool:
    try:
        decode_colour(read_bytes(file))
    except ImageError:
        return False
    return True


def _sample(names: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` names, in an order that depends on nothing but the seed and the names."""
    return heapq.nsmallest(count, names, key=lambda name: digest_of(seed, "sample", name))


def _files(source: Source, names: Sequence[str]) -> list[str]:
    return [os.path.join(source.root, name) for name in names]


def _chunks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))
