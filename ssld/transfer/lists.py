"""The lists of a transfer: read, looked through, and a part held out to choose settings by."""
from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from dedup.digests import sha256_of
from dedup.files import atomic_write, sha256_file
from dedup.images import ImageError, decode_colour, read_bytes

from ..data.class_folders import read_class_folders
from ..data.manifest import Manifest, check_labels, describe_rows, refuse_overlap
from ..errors import InputError
from ..export.class_names import read_class_names
from ..progress import Progress
from .plan import Images, Transfer

CLASSES = "classes.txt"


class Lists(NamedTuple):
    """What a transfer learns from, chooses by and is measured on.

    Attributes:
        all: every training image; with a validation list of its own this is `train`.
        eval: what results are measured on.
        class_names: by number; None where nothing says them.
        train: what trials learn from; None where nothing is searched.
        validation: what settings are chosen by; likewise.
    """

    all: Manifest
    eval: Manifest
    class_names: Optional[list[str]]
    train: Optional[Manifest] = None
    validation: Optional[Manifest] = None

    @property
    def class_num(self) -> int:
        """Number of classes."""
        return int(self.all.label.max()) + 1 if self.class_names is None else len(self.class_names)

    @property
    def manifests(self) -> dict[str, Manifest]:
        """Name -> list, of those that are there."""
        found = {"all": self.all, "train": self.train, "validation": self.validation, "eval": self.eval}
        return {name: manifest for name, manifest in found.items() if manifest is not None}

    def write(self, folder: Path) -> dict[str, str]:
        """Write `<name>.txt` for each list, and the names of the classes; returns name -> SHA-256 of each list."""
        for name, manifest in self.manifests.items():
            manifest.write(folder / f"{name}.txt")
        if self.class_names is not None:
            with atomic_write(folder / CLASSES) as out:
                out.writelines(f"{number} {name}\n" for number, name in enumerate(self.class_names))
        return {name: sha256_file(folder / f"{name}.txt") for name in self.manifests}


def read_lists(plan: Transfer, searching: bool) -> Lists:
    """The lists that a transfer names; how many images and classes they have is printed.

    Args:
        plan: the transfer.
        searching: whether settings have to be chosen.

    Raises:
        InputError: a folder or list that cannot be read, a class without images, images that are in two lists.
    """
    whole, names = _read(plan.train, None)
    if plan.class_names:
        names = read_class_names(plan.class_names, int(whole.label.max()) + 1)
    whole = _usable(whole, plan.check_images)
    _check_classes(whole, names)
    evaluation = _usable(_read(plan.eval, names)[0], plan.check_images)
    refuse_overlap(whole, evaluation)
    lists = Lists(whole, evaluation, names, *(_split(plan, whole, evaluation, names) if searching else ()))
    _check_labels(lists)
    held = "" if isinstance(plan.validation, Images) else " of them"
    chosen_by = f", {len(lists.validation):,}{held} to choose settings by" if searching else ""
    print(f"{lists.class_num} classes; {len(whole):,} images to learn from{chosen_by}, {len(evaluation):,} to measure the "
          "result on", flush=True)
    return lists


def _split(plan: Transfer, whole: Manifest, evaluation: Manifest, names: Sequence[str] | None) -> tuple[Manifest, Manifest]:
    """What trials learn from, and what settings are chosen by."""
    if not isinstance(plan.validation, Images):
        return hold_out(whole, plan.validation, plan.search.seed, names)
    validation = _usable(_read(plan.validation, names)[0], plan.check_images)
    refuse_overlap(whole, validation)
    refuse_overlap(validation, evaluation)
    return whole, validation


def hold_out(manifest: Manifest, share: float, seed: int, names: Sequence[str] | None = None) -> tuple[Manifest, Manifest]:
    """Two parts of a list, the second with `share` of each class, drawn by `seed`; of each class at least one image in either.

    Raises:
        InputError: a class with a single image.
    """
    held = np.zeros(len(manifest), bool)
    for label in np.unique(manifest.label):
        rows = np.flatnonzero(manifest.label == label)
        if len(rows) == 1:
            name = f" '{names[label]}'" if names else ""
            raise InputError(f"class {label}{name} has a single image, {manifest.place(int(rows[0]))}; {share:g} of each class "
                             "shall be held out. Add images, or give validation a list of its own.")
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held[np.random.default_rng((seed, int(label))).permutation(rows)[:count]] = True
    return manifest.take(~held), manifest.take(held)


def _read(images: Images, names: Sequence[str] | None) -> tuple[Manifest, list[str] | None]:
    if images.is_folder:
        return read_class_folders(images.image_root, names)
    manifest = Manifest.read(images.cls_label_path, images.image_root, images.delimiter)
    if manifest.unlabelled:
        raise InputError(f"{manifest.source}: {manifest.unlabelled:,} of {len(manifest):,} images have no label:"
                         f"{describe_rows(manifest, np.flatnonzero(manifest.label < 0))}\nA transfer learns from labels alone.")
    return manifest, names


def _usable(manifest: Manifest, look: bool) -> Manifest:
    """The rows whose picture can be read and is no copy of an earlier one's file; the others are counted on stdout."""
    if not look:
        return manifest
    digests, progress = [], Progress(f"looking at {manifest.source}", len(manifest))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for done, digest in enumerate(pool.map(_look, map(manifest.file, range(len(manifest)))), 1):
            digests.append(digest)
            progress.update(done)
    seen: set = {None}
    keep = np.array([digest not in seen and not seen.add(digest) for digest in digests])
    unreadable = [row for row, digest in enumerate(digests) if digest is None]
    copies = len(manifest) - int(keep.sum()) - len(unreadable)
    if unreadable:
        print(f"{manifest.source}: {len(unreadable)} of {len(manifest)} images cannot be read and are left out:"
              f"{describe_rows(manifest, unreadable)}")
    if copies:
        print(f"{manifest.source}: {copies} of {len(manifest)} images are copies of others, byte by byte, and are left out")
    if not keep.any():
        raise InputError(f"{manifest.source}: none of {len(manifest)} images can be read.")
    return manifest.take(keep)


def _look(file: Path) -> bytes | None:
    """SHA-256 of a file; None if it is no picture."""
    try:
        data = read_bytes(file)
        decode_colour(data)
    except ImageError:
        return None
    return sha256_of(data)


def _check_labels(lists: Lists) -> None:
    for manifest in lists.manifests.values():
        check_labels(manifest, lists.class_num, "the task")


def _check_classes(manifest: Manifest, names: Sequence[str] | None) -> None:
    """Every class has an image."""
    count = int(manifest.label.max()) + 1 if names is None else len(names)
    empty = np.setdiff1d(np.arange(count), manifest.label)
    if len(empty):
        shown = ", ".join(str(label) if names is None else f"{label} '{names[label]}'" for label in empty[:10])
        raise InputError(f"{manifest.source}: no image of these classes can be read: {shown}. Add images, or leave the classes "
                         "out.")
