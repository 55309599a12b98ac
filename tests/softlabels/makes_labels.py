"""Pictures of several shapes, tiny teachers, and an independent account of what these say about a crop."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
from PIL import Image

from ssld.data.manifest import Manifest
from ssld.models.zoo import build_network
from ssld.softlabels.codec import Codec
from ssld.softlabels.crop_batches import Grouping
from ssld.softlabels.crop_sources import DrawnCrops
from ssld.softlabels.crops import draw_crops
from ssld.softlabels.ensemble import Ensemble
from ssld.softlabels.generate import Labeller, generate
from ssld.softlabels.store import Store
from ssld.softlabels.views import View
from ssld.softlabels.writer import StoreWriter
from ssld.teachers.engines import make_engine

CLASSES, SEED = 4, 7
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)
SIZES = {"wide.png": (60, 40), "high.png": (44, 64), "turned.jpg": (64, 48), "square.png": (50, 50), "small.jpg": (24, 31),
         "grey.png": (40, 40), "last.png": (33, 47)}         # width, height
TURN = 6                        # Exif: to be turned by 90 degrees


def write_pictures(folder: Path) -> None:
    for number, (name, (width, height)) in enumerate(SIZES.items()):
        noise = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        picture = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        if name == "turned.jpg":
            exif[0x0112] = TURN
        (picture.convert("L") if name == "grey.png" else picture).save(folder / name, exif=exif)


def teacher(seed: int):
    """A network that tells mirrored pictures apart."""
    paddle.seed(seed)
    network = build_network("SmallResNet", CLASSES, width=8)
    network.fc.weight.set_value(network.fc.weight * 3)
    network.eval()
    return network


class Workshop:
    def __init__(self, folder: Path):
        write_pictures(folder)
        self.folder = folder
        self.images = Manifest(folder, list(SIZES), np.arange(len(SIZES)) % CLASSES)

    def ensemble(self, seeds=(1,), sizes=(32,), temperature=1.0) -> Ensemble:
        return Ensemble([make_engine(teacher(seed), "eager") for seed in seeds], [View(size) for size in sizes], CLASSES,
                        temperature)

    def labeller(self, images=None, crops=6, batch_size=4, ensemble=None, kind="full", k=None, num_workers=0, crops_of=None):
        images = self.images if images is None else images
        return Labeller(images, crops_of or self.drawn(images, crops), Grouping.of(crops, batch_size),
                        ensemble or self.ensemble(), Codec(kind, k, CLASSES), num_workers)

    def drawn(self, images, crops=6) -> DrawnCrops:
        return DrawnCrops(images.path, SEED, crops, SCALE, RATIO)

    def writer(self, folder, labeller, shard_images=3) -> StoreWriter:
        return StoreWriter(folder, labeller.crops_of.facts, labeller.images, labeller.codec, labeller.grouping.crops,
                           shard_images)

    def store(self, folder, labeller=None, shard_images=3, max_bad_fraction=0.0) -> Store:
        labeller = labeller or self.labeller()
        generate(labeller, self.writer(folder, labeller, shard_images), max_bad_fraction)
        return Store(folder)

    def expected(self, name: str, count: int, seeds=(1,), sizes=(32,), temperature=1.0) -> np.ndarray:
        """What the teachers say about the crops of a picture, by Pillow alone: float64 [count, CLASSES]."""
        with Image.open(self.folder / name) as image:
            picture = image.convert("RGB")
        total = np.zeros((count, CLASSES))
        for seed, size in zip(seeds, sizes):
            for crop, (box, flip) in enumerate(zip(*draw_crops(SEED, name, *picture.size, count, SCALE, RATIO))):
                top, left, height, width = box.tolist()
                shown = picture.crop((left, top, left + width, top + height)).resize((size, size), Image.Resampling.BICUBIC)
                shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else shown
                pixels = (np.asarray(shown) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
                logits = teacher(seed)(paddle.to_tensor(pixels.transpose(2, 0, 1)[None].astype(np.float32)))
                powers = np.exp(logits.numpy()[0].astype(np.float64) / temperature)
                total[crop] += powers / powers.sum() / len(seeds)
        return total
