"""Proof that stored labels belong to the crops that training will cut, before hours are spent on them.

A few images are labelled into a temporary store of whole distributions. Training's own dataset reads that store and cuts its
crops again, the teachers are asked about these, and their answer must be the stored label.
"""
from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import paddle
from PIL import Image

from dedup.images import ImageError, read_bytes

from ..data.dataset import Visit
from ..data.manifest import Manifest
from ..data.replay import ReplayDataset
from ..data.transforms import DecodeImage, build_transforms
from ..errors import InputError
from .choice import choose
from .codec import Codec
from .crop_batches import Grouping
from .crop_sources import CropSource
from .crops import Crops
from .ensemble import Ensemble
from .generate import Labeller
from .labels import FULL, StoredLabels
from .store import Store
from .writer import StoreWriter

TOLERANCE = 1e-4                # of cross-entropy above the label's entropy; half-precision logarithms come to 1e-6
_CROPS = 16                     # of each image
_LOOKED_AT = 300                # images of the list, for some that could go wrong
_LEAST = 3                      # images
_POLICY, _SEED, _PASS = "cover", 0, 0
_ORIENTATION = 0x0112           # Exif tag


class SelfCheck(NamedTuple):
    """What was found.

    Attributes:
        images, crops: how many were labelled and cut again.
        worst: largest cross-entropy of an answer under its label, above the label's entropy, in nats.
        mirrored: the same for crops that are mirrored on purpose, median: what the teachers would notice.
        seconds: that one crop takes in the teachers.
    """

    images: int
    crops: int
    worst: float
    mirrored: float
    seconds: float

    def __str__(self) -> str:
        blind = "" if self.mirrored > TOLERANCE else "; these teachers hardly tell them apart, so flips are not proven"
        return (f"{self.crops} crops of {self.images} images, cut again as training does, get their stored labels to within "
                f"{self.worst:.1e} (mirrored, they would be {self.mirrored:.1e} away{blind})")


def self_check(images: Manifest, crops_of: CropSource, grouping: Grouping, ensemble: Ensemble) -> SelfCheck:
    """Label some images of a list, read the labels as training does, and ask again.

    Args:
        images: the list; wide, high and turned images (by their Exif tag) are looked for.
        crops_of: their crops.
        grouping: of a run.
        ensemble: the teachers.

    Raises:
        InputError: no image can be read, or an answer is not the stored label; names the image and the crop.
    """
    rows = _telling_rows(images)
    some, count = images.take(rows), min(_CROPS, grouping.crops)
    with tempfile.TemporaryDirectory(prefix="ssld-self-check-") as folder:
        _write(folder, some, _Some(crops_of, rows, count), Grouping.of(count, grouping.size), ensemble)
        store = Store(folder)
        crops, labels, shown = _replayed(store, some, ensemble)
    before = ensemble.seconds
    away = _away(labels, _answers(ensemble, shown, grouping.size))
    seconds = (ensemble.seconds - before) / max(len(away), 1)
    worst = int(away.argmax())
    if not away[worst] <= TOLERANCE:
        raise InputError(f"self-check: {_name(some, crops, worst, count)}: the teacher's answer to the crop as training cuts "
                         f"it lies {away[worst]:.2g} above the entropy of its stored label, more than {TOLERANCE}. Labels "
                         "would belong to other pictures than the student's. No label was written; please report this.")
    mirrored = _away(labels, _answers(ensemble, [np.ascontiguousarray(view[..., ::-1]) for view in shown], grouping.size))
    return SelfCheck(len(rows), len(away), float(away[worst]), float(np.median(mirrored)), seconds)


class _Some:
    """The first crops of some rows.

    Args:
        crops_of: crops of the whole list.
        rows: of it.
        count: crops.
    """

    def __init__(self, crops_of: CropSource, rows: np.ndarray, count: int):
        self.crops_of, self.rows, self.count, self.facts = crops_of, rows, count, crops_of.facts

    def __call__(self, row: int, width: int, height: int) -> Crops:
        crops = self.crops_of(int(self.rows[row]), width, height)
        return Crops(crops.box[:self.count], crops.flip[:self.count])


def _name(images: Manifest, crops: Crops, place: int, count: int) -> str:
    """How an error names one of the crops that training's visits gave."""
    row, turn = divmod(place, count)
    number = choose(_POLICY, _SEED, row, _PASS, count, count)[turn]
    top, left, height, width = crops.box[place].tolist()
    flip = ", mirrored" if crops.flip[place] else ""
    return f"{images.place(row)}, crop {number} ({width} x {height} pixels from left {left}, top {top}{flip})"


def _telling_rows(images: Manifest) -> np.ndarray:
    """Images that can be read: a wide one, a high one, a square one and one with a turning tag if there are such, and a few."""
    rows, seen = [], set()
    for row in np.unique(np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).astype(np.int64)).tolist():
        with contextlib.suppress(ImageError, OSError):
            kinds = _kinds(images.file(row))
            if len(rows) < _LEAST or kinds - seen:
                np.asarray(DecodeImage()(images.file(row), None))
                rows.append(row)
                seen |= kinds
    if not rows:
        raise InputError(f"none of the images of {images.source} that were tried can be read, from {images.place(0)} on. Is "
                         f"{images.root} their folder?")
    return np.array(rows)


def _kinds(file: Path) -> set[str]:
    with Image.open(io.BytesIO(read_bytes(file))) as image:
        width, height = image.size
        turned = {"turned"} if image.getexif().get(_ORIENTATION, 1) != 1 else set()
    return turned | {"wide" if width > height else "high" if height > width else "square"}


def _write(folder: str, images: Manifest, crops_of: _Some, grouping: Grouping, ensemble: Ensemble) -> None:
    """A store of whole distributions."""
    codec = Codec("full", None, ensemble.class_num, folder)
    labeller = Labeller(images, crops_of, grouping, ensemble, codec)
    writer = StoreWriter(folder, {"seed": crops_of.facts.get("seed")}, images, codec, grouping.crops, shard_images=2)
    for shard in writer.shards():
        for labelled in labeller.label(np.arange(shard.first, shard.stop)):
            shard.append(*labelled)
        shard.close()
    writer.finish()


def _replayed(store: Store, images: Manifest, ensemble: Ensemble) -> tuple[Crops, np.ndarray, list[np.ndarray]]:
    """All crops of a store as training gets them: boxes and flips, labels [n, C], and for each view float32 [n, 3, H, W]."""
    labels = StoredLabels(store, store.rows_of(images.path), _POLICY, "full", store.codec.k, _SEED)
    views = [ReplayDataset(images, build_transforms(view.replay_ops(), "self-check"), labels, 0.0) for view in ensemble.views]
    visits = [Visit(row, _PASS, store.crops) for row in range(len(images))]
    samples = [[view[visit] for visit in visits] for view in views]
    crops = [labels.visit(visit, -1)[0] for visit in visits]
    return (Crops(*(np.concatenate(part) for part in zip(*crops))), np.concatenate([sample[FULL] for sample in samples[0]]),
            [np.concatenate([np.stack(sample["image"]) for sample in view]) for view in samples])


def _answers(ensemble: Ensemble, shown: Sequence[np.ndarray], size: int) -> np.ndarray:
    """What the teachers say about crops, in batches of one size: float64 [n, C]."""
    count, answers = len(shown[0]), []
    for first in range(0, count, size):
        places = np.minimum(np.arange(first, first + size), count - 1)
        with paddle.no_grad():
            answers.append(ensemble.ask([paddle.to_tensor(view[places]) for view in shown])[:count - first])
    return np.concatenate(answers)


def _away(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Cross-entropy of answers under labels, less the labels' entropy: [n, C] -> float64 [n]."""
    labels, least = labels.astype(np.float64), np.finfo(np.float64).tiny
    return (labels * (np.log(np.maximum(labels, least)) - np.log(np.maximum(answers, least)))).sum(1)
