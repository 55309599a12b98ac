"""The images of a list, one visit at a time."""
from __future__ import annotations

import sys
from typing import NamedTuple

import numpy as np
from paddle.io import Dataset

from dedup.images import ImageError

from ..checks import fraction
from ..errors import InputError
from ..registry import Registry
from .manifest import Manifest, describe_rows, missing_files
from .transforms import Compose, build_transforms

DATASETS = Registry("dataset")
READABLE = -1                   # the "unreadable" entry of a sample that was read
_ATTEMPTS = 20                  # neighbours tried in place of an unreadable image


class Visit(NamedTuple):
    """Which image, in which pass over the list, and how many crops of it; with the seed they fix its augmentation. A pass that
    shows an image several times, in visits of their own, numbers them by `copy`."""

    row: int
    pass_: int
    crops: int = 1
    copy: int = 0


class ManifestDataset(Dataset):
    """The images of a Manifest, transformed.

    A sample is a dict: "image" float32 [3, H, W], "label" and "index" int64, and "unreadable" int64: -1, or the row
    of the image that could not be read.

    Args:
        manifest: which images.
        transform: file -> array.
        max_bad_fraction: unreadable images above this share of the list are an error.
        seed: of the augmentation.
    """

    def __init__(self, manifest: Manifest, transform: Compose, max_bad_fraction: float = 0.001, seed: int = 0):
        super().__init__()
        self.manifest, self.transform, self.seed = manifest, transform, seed
        self.max_bad_fraction = fraction("max_bad_fraction", max_bad_fraction)

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, visit: Visit) -> dict[str, np.ndarray]:
        """The sample of one visit; of an unreadable image, that of the next readable row of the list."""
        unreadable = READABLE
        for attempt in range(min(_ATTEMPTS, len(self))):
            row = (visit.row + attempt) % len(self)
            try:
                sample = self._sample(visit._replace(row=row), self._generator(row, visit))
            except (ImageError, OSError):
                unreadable = visit.row if unreadable == READABLE else unreadable
                continue
            return {**sample, "label": self.manifest.label[row], "index": np.int64(row),
                    "unreadable": np.int64(unreadable)}
        raise InputError(f"{attempt + 1} images in a row cannot be read, beginning with {self.manifest.place(visit.row)}. "
                         "Is the data's disk still there?")

    def _generator(self, row: int, visit: Visit) -> np.random.Generator:
        """Of the augmentation of one visit."""
        key = self.seed, visit.pass_, row
        return np.random.default_rng((*key, visit.copy) if visit.copy else key)

    def image_size(self) -> tuple[int, int]:
        """Height and width of the images as networks see them, pixels; of the first one that can be read."""
        return tuple(np.shape(self[Visit(0, 0)]["image"])[-2:])

    def _sample(self, visit: Visit, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """What a file gives.

        Raises:
            ImageError, OSError: it cannot be read.
        """
        return {"image": self.transform(self.manifest.file(visit.row), rng)}


class SomeRows(Dataset):
    """Some rows of a dataset in their first pass; neighbours that stand in for unreadable images may be others.

    Args:
        dataset: map from Visit to sample.
        rows: int64 [n].
    """

    def __init__(self, dataset: Dataset, rows: np.ndarray):
        super().__init__()
        self.dataset, self.rows = dataset, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, visit: Visit):
        return self.dataset[Visit(int(self.rows[visit.row]), 0)]


@DATASETS.register
class ImageNetDataset(ManifestDataset):
    """The images of a list file, transformed; PaddleClas's name for `path label` lists of any data.

    Args:
        image_root: folder that the list's paths are relative to.
        cls_label_path: list file; lines without label, or with -1, are unlabelled images.
        transform_ops: operators, see `ssld.data.transforms`.
        delimiter: between path and label.
        check_files: look for every file before the start; missing ones are reported and left out.
        max_bad_fraction: missing plus unreadable images above this share of the list are an error.
        seed, section: supplied by the program.

    Raises:
        InputError: bad list, bad transforms, or too many missing files.
    """

    def __init__(self, image_root: str, cls_label_path: str, transform_ops: list, delimiter: str = " ",
                 check_files: bool = True, max_bad_fraction: float = 0.001, seed: int = 0, section: str = "dataset"):
        transform = build_transforms(transform_ops, f"{section}.transform_ops")
        super().__init__(Manifest.read(cls_label_path, image_root, delimiter), transform, max_bad_fraction, seed)
        if check_files:
            self.manifest = _without_missing(self.manifest, self.max_bad_fraction)


class UnreadableImages:
    """Counts the images that could not be read during a run, and stops the run when they are too many.

    Args:
        dataset: whose images are counted.
    """

    def __init__(self, dataset: ManifestDataset):
        self.dataset = dataset
        self.rows: set[int] = set()

    def update(self, unreadable: np.ndarray) -> list[str]:
        """Take note of a batch's "unreadable" entries, int64 [B]; returns the places of those not yet known.

        Raises:
            InputError: above the dataset's max_bad_fraction.
        """
        new = [int(row) for row in unreadable if row != READABLE and row not in self.rows]
        self.rows.update(new)
        manifest, limit = self.dataset.manifest, self.dataset.max_bad_fraction
        if new and len(self.rows) > limit * len(manifest):
            raise InputError(f"{len(self.rows)} of {len(manifest)} images cannot be read, more than max_bad_fraction "
                             f"{limit} allows:{describe_rows(manifest, sorted(self.rows))}\n"
                             "Repair or remove them, or raise max_bad_fraction.")
        return [manifest.place(row) for row in new]


def _without_missing(manifest: Manifest, max_bad_fraction: float) -> Manifest:
    """The rows whose file exists; the others are named on stderr, or are an error when they are too many."""
    missing = missing_files(manifest)
    if not len(missing):
        return manifest
    message = (f"{len(missing)} of {len(manifest)} images of {manifest.source} do not exist under {manifest.root}:"
               f"{describe_rows(manifest, missing)}")
    if len(missing) > max_bad_fraction * len(manifest):
        raise InputError(f"{message}\nMore than max_bad_fraction {max_bad_fraction} allows. Check image_root and the "
                         "list, or raise max_bad_fraction.")
    print(f"warning: {message}\nThey are left out.", file=sys.stderr)
    keep = np.ones(len(manifest), bool)
    keep[missing] = False
    return manifest.take(keep)
