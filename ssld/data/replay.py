"""The stored crops of an image, cut again as they were when the teacher saw them."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from ..errors import InputError
from ..softlabels.crops import Crops
from .dataset import ManifestDataset, Visit
from .manifest import Manifest
from .transforms import Compose, DecodeImage, RandCropImage, RandFlipImage

_ROUNDING = 1.0                 # pixels by which the sides of a resized copy may miss the common scale


class CropLabels(Protocol):
    """What a store says about the images of a list, see ssld.softlabels.labels."""

    def size(self, row: int) -> tuple[int, int]:
        """Height and width of an image when its crops were drawn, pixels."""

    def visit(self, visit: Visit, label: int) -> tuple[Crops, dict[str, np.ndarray]]:
        """The crops of a visit, and the entries of the batch that hold their labels, each [m, ...]."""


class ReplayDataset(ManifestDataset):
    """The images of a list, each as several stored crops with their stored labels.

    The random crop and flip among the operators are replaced by the stored ones; what stands behind them, such as colour
    jitter, acts on each crop. A sample holds m crops; `join` makes rows of them, crop by crop: crop 0 of all images, crop 1
    of all images, ...

    Args:
        manifest, max_bad_fraction, seed: see ManifestDataset.
        transform: DecodeImage, RandCropImage (its size and interpolation are used), perhaps RandFlipImage, and others.
        labels: boxes, flips and labels of each visit.

    Raises:
        InputError: operators that change the geometry otherwise.
    """

    def __init__(self, manifest: Manifest, transform: Compose, labels: CropLabels, max_bad_fraction: float = 0.001,
                 seed: int = 0):
        super().__init__(manifest, transform, max_bad_fraction, seed)
        self.labels, self.replay = labels, Replay(transform)
        self._warned = False

    def _sample(self, visit: Visit, rng):
        crops, labels = self.labels.visit(visit, int(self.manifest.label[visit.row]))
        picture = self.replay.decode(self.manifest.file(visit.row), rng)
        crops = self._fitted(crops, self.labels.size(visit.row), picture.shape[:2], visit.row)
        return {"image": self.replay(picture, crops, rng), **labels}

    def join(self, samples: Sequence[dict]) -> dict[str, np.ndarray]:
        """A batch of rows: crop 0 of each sample, then crop 1 of each, ..."""
        crops, batch = range(len(samples[0]["image"])), {}
        for name, first in samples[0].items():
            values = [sample[name] for sample in samples]
            of_crops = isinstance(first, list) or first.ndim        # what is not belongs to the image
            batch[name] = np.stack([value[crop] if of_crops else value for crop in crops for value in values])
        return batch

    def _fitted(self, crops: Crops, stored: tuple[int, int], found: tuple[int, int], row: int) -> Crops:
        """The crops in the pixels of the image as it is now."""
        if stored == tuple(found):
            return crops
        down, across = found[0] / stored[0], found[1] / stored[1]
        if abs(stored[0] * across - found[0]) > _ROUNDING and abs(stored[1] * down - found[1]) > _ROUNDING:
            raise InputError(f"{self.manifest.place(row)} has {found[1]} x {found[0]} pixels, but had {stored[1]} x {stored[0]}"
                             " when its soft labels were made: another picture, or a cut one. Use the images that the labels "
                             "were made from, or make labels for these.")
        if not self._warned:
            self._warned = True
            print(f"warning: {self.manifest.place(row)} has {found[1]} x {found[0]} pixels, not {stored[1]} x {stored[0]} as "
                  "when its soft labels were made; stored crops are scaled to it, and to others like it", file=sys.stderr)
        return crops._replace(box=_scaled(crops.box, down, across, found))


class Replay:
    """Cuts given crops out of a picture, and does to each what follows the random crop in a list of operators.

    Args:
        transform: see ReplayDataset.
    """

    def __init__(self, transform: Compose):
        operators = transform.operators
        cuts = [place for place, operator in enumerate(operators) if isinstance(operator, RandCropImage)]
        if not isinstance(operators[0], DecodeImage) or cuts != [1]:
            raise InputError("stored crops take the place of RandCropImage, so transform_ops must begin with DecodeImage and "
                             "RandCropImage, and have one of the latter.")
        self.decode, self.cut = operators[0], operators[1].cut
        flips = [operator for operator in operators[2:] if isinstance(operator, RandFlipImage)]
        self.after = [operator for operator in operators[2:] if operator not in flips]
        if len(flips) > 1 or any(flip.flip_code != 1 for flip in flips):
            raise InputError("stored flips are left-right, so transform_ops may hold one RandFlipImage with flip_code 1.")
        geometric = [type(operator).__name__ for operator in self.after if operator.geometric]
        if geometric:
            raise InputError(f"{geometric[0]} would move pixels of a stored crop, whose label would then belong to another "
                             "picture. Remove it from transform_ops.")

    def __call__(self, picture, crops: Crops, rng: np.random.Generator) -> list[np.ndarray]:
        """The crops of a picture; it is decoded once, and only where there are crops.

        Args:
            picture: array or JpegPicture, [H, W, 3].
            crops: n of them, inside the picture.
            rng: for the random operators behind.
        """
        (top, left), (bottom, right) = crops.box[:, :2].min(0).tolist(), (crops.box[:, :2] + crops.box[:, 2:]).max(0).tolist()
        region = picture[top:bottom, left:right]
        return [self._one(self.cut(region, x - left, y - top, width, height), flip, rng)
                for (y, x, height, width), flip in zip(crops.box.tolist(), crops.flip)]

    def _one(self, image, flip: bool, rng) -> np.ndarray:
        image = cv2.flip(image, 1) if flip else image
        for operator in self.after:
            image = operator(image if isinstance(image, operator.takes) else np.asarray(image), rng)
        return np.asarray(image)


def _scaled(box: np.ndarray, down: float, across: float, size: tuple[int, int]) -> np.ndarray:
    """Boxes in a picture that was made `down` times as high and `across` times as wide."""
    factors = np.array([down, across])
    first = np.rint(box[:, :2] * factors).astype(np.int64)
    last = np.rint((box[:, :2] + box[:, 2:]) * factors).astype(np.int64)
    first = np.minimum(first, np.array(size) - 1)
    return np.concatenate([first, np.maximum(np.minimum(last, size) - first, 1)], 1)
