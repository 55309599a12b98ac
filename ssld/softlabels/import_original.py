"""A tree of files in the original soft label format, one for each image, into a store."""
from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dedup.images import ImageError

from ..checks import fraction, positive_int
from ..data.manifest import describe_rows
from ..errors import InputError, located
from ..progress import Progress
from .codec import Codec
from .crops import check_size
from .image_size import image_size
from .original import OriginalLabels, check_kind, kind_of, pixel_crops, read_original, top_of
from .original_tree import OriginalTree
from .store import Store
from .writer import StoreWriter

_IMAGES_AT_ONCE = 64


class Form(NamedTuple):
    """What all label files of a tree have in common.

    Attributes:
        kind: of the labels.
        shape: of one crop's label.
        crops: taken from each file, the first ones.
        exact: whether a file has to have that many, no more.
    """

    kind: str
    shape: tuple[int, ...]
    crops: int
    exact: bool

    def check(self, labels: OriginalLabels, file: Path) -> None:
        """Refuse a file of another form.

        Raises:
            InputError: naming the file and both forms.
        """
        shape, count = labels.label.shape[1:], len(labels.label)
        if shape != self.shape:
            raise InputError(f"{file} has labels of the shape {list(shape)} for each crop, the files before it "
                             f"{list(self.shape)}. One store holds one kind of labels: import each kind on its own.")
        if count < self.crops or (self.exact and count > self.crops):
            raise InputError(f"{file} has {count} crops, expected {self.crops}. Give --crops N to take the first N of "
                             "each file.")


class Importer:
    """Reads the labels of the images of a list.

    Args:
        tree: the label files.
        class_num: classes of a label.
        kind: what the labels are, where their shape leaves it open; see `kind_of`.
        crops: how many to take of each file; None takes all, and expects the same number everywhere.
    """

    def __init__(self, tree: OriginalTree, class_num: int, kind: str | None = None, crops: int | None = None):
        self.tree, self.images = tree, tree.images
        with_labels = np.setdiff1d(np.arange(len(self.images)), tree.missing)
        if not len(with_labels):
            raise InputError(tree.describe_missing())
        file = tree.file(int(with_labels[0]))
        first = read_original(file).label
        found, k = kind_of(first)
        count = len(first) if crops is None else crops
        if kind is not None:
            check_kind(kind, first, file)
        self.form = Form(kind or found, first.shape[1:], positive_int("--crops", count), crops is None)
        self.codec = Codec(self.form.kind, k, class_num, str(tree.source))
        self.resized: list[int] = []
        self.unreadable: dict[int, str] = {}

    def read(self, first: int, stop: int) -> tuple[np.ndarray, ...]:
        """Records [n, crops], width, height and readable [n] of rows first .. stop - 1; zeros where there are no labels.

        Raises:
            InputError: a label file that is damaged, of another form, or does not fit its image.
        """
        records = np.zeros((stop - first, self.form.crops), self.codec.dtype)
        sizes = np.zeros((stop - first, 2), np.int64)
        for place, row in enumerate(range(first, stop)):
            file = self.tree.file(row)
            if file is None:
                continue
            try:
                sizes[place] = image_size(self.images.file(row))
            except ImageError as error:
                self.unreadable[row] = str(error)
                continue
            records[place] = self._records(row, file, *sizes[place].tolist())
        return records, sizes[:, 0], sizes[:, 1], sizes[:, 0] > 0

    def check_unreadable(self, max_fraction: float) -> None:
        """Stop when the images without labels and those that could not be read are too many.

        Raises:
            InputError: with the first of them.
        """
        lost = len(self.tree.missing) + len(self.unreadable)
        if self.unreadable and lost > max_fraction * len(self.images):
            row = next(iter(self.unreadable))
            raise InputError(f"{len(self.unreadable):,} of {len(self.images):,} images could not be read "
                             f"({self.unreadable[row]}):{describe_rows(self.images, list(self.unreadable))}\nWith the "
                             f"{len(self.tree.missing):,} that have no label file they are more than --max-missing-fraction "
                             f"{max_fraction} allows. Check --image-root, or raise it.")

    def _records(self, row: int, file: Path, width: int, height: int) -> np.ndarray:
        check_size(self.images.place(row), width, height)
        labels = read_original(file)
        self.form.check(labels, file)
        labels = labels.first(self.form.crops)
        crops, moved = pixel_crops(labels, width, height, file)
        if moved:
            self.resized.append(row)
        if self.form.kind == "full":
            with located(str(file)):
                return self.codec.encode(labels.label.astype(np.float32), crops)
        ids, kept = top_of(labels, file)
        with located(str(file)):
            return self.codec.encode_top(ids, kept, crops)


def import_original(importer: Importer, out: str | Path, teacher: str | None = None, max_missing_fraction: float = 0.001,
                    show_progress: bool = True) -> Store:
    """Write a store of what a tree of original files holds; started again, it goes on where it stopped.

    Boxes and flips are those of the files, labels are kept as `Codec.encode_top` keeps them. Images without a label file, and
    those that cannot be read, are entered as unreadable.

    Args:
        importer: of the tree.
        out: folder of the store.
        teacher: name of the network that made the labels, if it is known.
        max_missing_fraction: images without labels or unreadable above this share of the list are an error, in [0, 1].
        show_progress: print how far it is.

    Raises:
        InputError: too many of them; a label file that is damaged or does not fit; a folder that holds something else.
    """
    fraction("--max-missing-fraction", max_missing_fraction)
    importer.tree.check_missing(max_missing_fraction)
    writer = StoreWriter(out, _meta(importer, teacher), importer.images, importer.codec, importer.form.crops)
    shards = writer.shards()
    done = sum(shard.done for shard in shards)
    progress = Progress("image", sum(shard.stop - shard.first for shard in shards), done, quiet=not show_progress)
    for shard in shards:
        for first, stop in _steps(shard.first + shard.done, shard.stop):
            shard.append(*importer.read(first, stop))
            importer.check_unreadable(max_missing_fraction)
            done += stop - first
            progress.update(done)
        shard.close()
    writer.finish()
    _tell(importer)
    return Store(out)


def _steps(first: int, stop: int) -> Iterator[tuple[int, int]]:
    return ((at, min(at + _IMAGES_AT_ONCE, stop)) for at in range(first, stop, _IMAGES_AT_ONCE))


def _meta(importer: Importer, teacher: str | None) -> dict:
    return {"teachers": [{"name": teacher}] if teacher else None, "image_root": os.path.abspath(importer.images.root),
            "origin": {"format": "original FKD files", "source": os.path.abspath(importer.tree.source)}}


def _tell(importer: Importer) -> None:
    """Warnings about what was left out or is doubtful."""
    images = importer.images
    if len(importer.tree.missing):
        print(f"warning: {importer.tree.describe_missing()}\nThey are entered without labels.", file=sys.stderr)
    if importer.unreadable:
        print(f"warning: {len(importer.unreadable):,} images could not be read:"
              f"{describe_rows(images, list(importer.unreadable))}\nThey are entered without labels.", file=sys.stderr)
    if importer.resized:
        print(f"warning: the crops of {len(importer.resized):,} images are no whole pixels:"
              f"{describe_rows(images, importer.resized)}\nThe labels were made for images of other sizes; boxes were rounded.",
              file=sys.stderr)
