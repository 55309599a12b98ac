"""From a config to a store of soft labels; the counterpart of `ssld.build` for `ssld soft-labels`."""
from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import numpy as np
import paddle

from dedup.files import sha256_file

from . import __version__, device
from .build import SECTIONS, build_settings
from .build_data import loader_section
from .build_ensemble import Teacher, build_ensemble, build_teachers, facts_of_teachers, measure_teachers
from .checks import fraction, not_negative, numbers, one_of, positive, positive_int
from .config import Config
from .data.dataset import ImageNetDataset, ManifestDataset, UnreadableImages
from .data.manifest import Manifest, missing_files
from .errors import InputError, located
from .progress import duration
from .registry import check_arguments, check_keys
from .softlabels.codec import KINDS, MARGINAL, Codec
from .softlabels.crop_batches import Grouping
from .softlabels.crop_sources import CropSource, DrawnCrops, StoredCrops
from .softlabels.ensemble import Ensemble
from .softlabels.generate import Labeller, generate
from .softlabels.self_check import self_check
from .softlabels.store import Store
from .softlabels.writer import StoreWriter
from .train.parallel import together

SECTION, CONFIG = "SoftLabels", "config.yaml"
_K = 5
_GB = 1e9


@dataclass(frozen=True)
class SoftLabelOptions:
    """The section SoftLabels.

    Attributes:
        output: folder of the store; default: Arch.teacher.path, from which training reads it, or Global.output_dir.
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


def run_generation(config: Config, dry_run: bool = False) -> Store | None:
    """Label crops of every image of DataLoader.Train's list; under paddle.distributed.launch the processes share the work.

    A config of a distillation is enough, with the section SoftLabels (see SoftLabelOptions) and, in Arch.teacher, the keys of
    the teacher's view (size, interpolation, mean, std); Arch.teachers may be a list of several, whose distributions are
    averaged. DataLoader.Train.dataset gives image_root, cls_label_path and delimiter; its transforms are not used. Where there
    is DataLoader.Eval, teachers are measured first. An interrupted run goes on when it is started again.

    Args:
        config: of the generation, or of the distillation.
        dry_run: build everything, measure and self-check, and write nothing.

    Returns:
        The store; None after a dry run.

    Raises:
        InputError: anything in config, list, weights or images that the user can mend.
    """
    options, output = _options(config)
    settings = build_settings(_with_output_dir(config, output), (*SECTIONS, SECTION))
    device.start(settings.device)
    images = _list(config, options)
    teachers = build_teachers(config)
    ensemble = build_ensemble(config, teachers, options.temperature)
    codec = _codec(config, options, ensemble.class_num, output)
    crops_of = _crops_of(config, options, images, settings.seed)
    grouping = Grouping.of(options.crops, options.batch_size)
    writer = None if dry_run else _writer(config, output, teachers, images, codec, crops_of, options)
    if device.is_main():
        _announce(options, output, len(images), codec, grouping, len(teachers))
    measure_teachers(teachers, output, dry_run)
    with together():
        if device.is_main() and (dry_run or writer.shards()):
            _check(images, crops_of, grouping, ensemble)
    if dry_run:
        return None
    if device.is_main():
        config.write(output / CONFIG)
    generate(Labeller(images, crops_of, grouping, ensemble, codec, options.num_workers), writer, options.max_bad_fraction)
    return Store(output)


def _options(config: Config) -> tuple[SoftLabelOptions, Path]:
    """The section SoftLabels, and where the store goes."""
    given, where = config.section(SECTION), config.where(SECTION)
    check_arguments(SoftLabelOptions, given, where)
    with located(where):
        options = SoftLabelOptions(**given)
    teacher = config.section("Arch").get("teacher")
    path = teacher.get("path") if isinstance(teacher, Mapping) else None
    output = options.output or path or config.section("Global").get("output_dir")
    if not output:
        raise InputError(f"{where} needs the option 'output', the folder of the store, unless Arch.teacher.path or "
                         "Global.output_dir names one.")
    return options, Path(output)


def _with_output_dir(config: Config, output: Path) -> Config:
    """A config whose Global section is whole: a generation has no other output than its store."""
    return Config({**config.data, "Global": {"output_dir": str(output), **config.section("Global")}}, config.file)


def _list(config: Config, options: SoftLabelOptions) -> Manifest:
    """The images, each once; too many missing files are an error at once."""
    where = config.where("DataLoader", "Train", "dataset")
    given = dict(loader_section(config, "Train").get("dataset") or {})
    check_keys(given, ("name", "batch_transform_ops", *inspect.signature(ImageNetDataset).parameters), where)
    given = {key: given[key] for key in ("image_root", "cls_label_path", "delimiter") if key in given}
    check_arguments(_list_options, given, where)
    listed = _list_options(**given)
    images = listed.take(listed.path.first_occurrences())
    if len(images) < len(listed) and device.is_main():
        print(f"{images.source}: {len(listed) - len(images):,} of {len(listed):,} lines repeat an image; it is labelled once")
    UnreadableImages(ManifestDataset(images, None, options.max_bad_fraction)).update(missing_files(images))
    return images


def _list_options(cls_label_path: str, image_root: str | None = None, delimiter: str = " ") -> Manifest:
    return Manifest.read(cls_label_path, image_root, delimiter)


def _codec(config: Config, options: SoftLabelOptions, class_num: int, output: Path) -> Codec:
    k = _K if options.kind in MARGINAL and options.k is None else options.k
    with located(config.where(SECTION)):
        return Codec(options.kind, k, class_num, str(output))


def _crops_of(config: Config, options: SoftLabelOptions, images: Manifest, seed: int) -> CropSource:
    if options.boxes_of is None:
        return DrawnCrops(images.path, seed, options.crops, options.scale, options.ratio)
    with located(config.where(SECTION, "boxes_of")):
        return StoredCrops(Store(options.boxes_of), images, options.crops)


def _writer(config: Config, output: Path, teachers: Sequence[Teacher], images: Manifest, codec: Codec, crops_of: CropSource,
            options: SoftLabelOptions) -> StoreWriter:
    """The folder of the store, with all that its labels depend on."""
    meta = {**facts_of_teachers(teachers), "temperature": options.temperature, **crops_of.facts,
            "batch_size": options.batch_size, "list": {"file": str(images.source), "sha256": sha256_file(images.source)},
            "ssld": __version__, "paddle": paddle.__version__}
    with located(config.where(SECTION)):
        return StoreWriter(output, meta, images, codec, options.crops, options.shard_images)


def _announce(options: SoftLabelOptions, output: Path, images: int, codec: Codec, grouping: Grouping, teachers: int) -> None:
    """What the run will cost."""
    size, crops = codec.dtype.itemsize, images * options.crops
    passes = teachers * grouping.passes(images, options.shard_images)
    print(f"{images:,} images x {options.crops} crops x {size} bytes = {crops * size:,} bytes ({crops * size / _GB:,.1f} GB) "
          f"in {output}; {crops * teachers:,} crops through {teachers} teacher{'s' if teachers > 1 else ''}, in {passes:,} "
          f"forward passes of {grouping.size}", flush=True)


def _check(images: Manifest, crops_of: CropSource, grouping: Grouping, ensemble: Ensemble) -> None:
    found = self_check(images, crops_of, grouping, ensemble)
    left = found.seconds * len(images) * grouping.crops / device.world_size()
    print(f"self-check: {found}; at this speed all of it takes about {duration(left)}", flush=True)
