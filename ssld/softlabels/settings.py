"""The section SoftLabels."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

import numpy as np

from ..checks import fraction, not_negative, numbers, one_of, positive, positive_int
from ..errors import InputError
from .codec import KINDS


@dataclass(frozen=True)
class SoftLabelOptions:
    """How a store of soft labels is made.

    Attributes:
        output: folder of the store; default: Arch.teacher.path, from which training reads it, else soft_labels in
            Global.output_dir.
        crops: of each image.
        kind: hard, smoothing, marginal_smoothing, marginal_renorm or full; see ssld.softlabels.codec.
        k: classes kept by the marginal kinds, by default 5.
        scale: smallest and largest area of a crop, as shares of the image, in (0, 1].
        ratio: smallest and largest width / height of a crop.
        temperature: of the labels, softmax(z / T); what is cut off by K cannot be tempered again.
        batch_size: crops that go through a teacher together.
        shard_images: images per file.
        boxes_of: folder of another store whose crops and flips are taken over.
        max_bad_fraction: unreadable images above this share of the list are an error.
        num_workers: processes that read and cut ahead of the teachers; 0: a thread of this process.
    """

    output: Optional[str] = None
    crops: int = 500
    kind: str = "marginal_smoothing"
    k: Optional[int] = None
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    temperature: float = 1.0
    batch_size: int = 50
    shard_images: int = 4096
    boxes_of: Optional[str] = None
    max_bad_fraction: float = 0.001
    num_workers: int = 2

    def __post_init__(self):
        for name in ("crops", "batch_size", "shard_images"):
            positive_int(name, getattr(self, name))
        one_of("kind", self.kind, KINDS)
        positive("temperature", self.temperature)
        fraction("max_bad_fraction", self.max_bad_fraction)
        not_negative("num_workers", self.num_workers)
        for name, most in (("scale", 1), ("ratio", np.inf)):
            low, high = numbers(name, getattr(self, name), 2)
            if not 0 < low <= high <= most:
                raise InputError(f"{name} must be [low, high] with 0 < low <= high{' <= 1' if most == 1 else ''}, not "
                                 f"{getattr(self, name)}.")
