"""A store of random soft labels for a folder of pictures; what benchmarks of reading and training share."""
from __future__ import annotations

from pathlib import Path

import numpy as np

from ssld.data.manifest import Manifest
from ssld.softlabels.codec import Codec
from ssld.softlabels.crops import draw_crops
from ssld.softlabels.image_size import image_size
from ssld.softlabels.store import Store
from ssld.softlabels.writer import StoreWriter

CLASSES, KEPT = 1000, 5


def jpeg_list(folder: Path, limit: int | None = None) -> Manifest:
    """The JPEG files below a folder, with class numbers that mean nothing."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:limit]
    return Manifest(folder, [str(file.relative_to(folder)) for file in files], np.arange(len(files)) % CLASSES)


def random_store(images: Manifest, folder: Path, crops: int) -> Store:
    """Crops as they are drawn for real, each with a random label of kind marginal_smoothing, K = 5."""
    codec, rng = Codec("marginal_smoothing", KEPT, CLASSES), np.random.default_rng(0)
    writer = StoreWriter(folder, {"seed": 0}, images, codec, crops)
    for shard in writer.shards():
        for row in range(shard.first, shard.stop):
            width, height = image_size(images.file(row))
            labels = rng.dirichlet(np.full(CLASSES, 0.02), crops)
            records = codec.encode(labels, draw_crops(0, images.path[row], width, height, crops))
            shard.append(records[None], np.array([width]), np.array([height]), np.array([True]))
        shard.close()
    writer.finish()
    return Store(folder)
