"""From a config to a store of soft labels; the counterpart of `ssld.build` for `ssld soft-labels`."""
from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path

import paddle

from dedup.files import sha256_file

from . import __version__, device
from .build import SECTIONS, build_settings
from .build_data import loader_section
from .build_ensemble import Teacher, build_ensemble, build_teachers, facts_of_teachers, measure_teachers
from .build_onnx import is_onnx
from .config import Config
from .data.dataset import ImageNetDataset, ManifestDataset, UnreadableImages
from .data.manifest import Manifest, missing_files
from .errors import InputError, located
from .progress import duration
from .registry import check_arguments, check_keys
from .softlabels.codec import MARGINAL, Codec
from .softlabels.crop_batches import Grouping
from .softlabels.crop_sources import CropSource, DrawnCrops, StoredCrops
from .softlabels.generate import Labeller, generate
from .softlabels.self_check import self_check
from .softlabels.settings import SoftLabelOptions
from .softlabels.store import Store
from .softlabels.writer import StoreWriter
from .train.parallel import together

SECTION, CONFIG, FOLDER = "SoftLabels", "config.yaml", "soft_labels"
_K = 5
_GB = 1e9


def run_generation(config: Config, dry_run: bool = False) -> Store | None:
    """Label crops of every image of DataLoader.Train's list; under paddle.distributed.launch the processes share the work.

    A config of a distillation is enough, with the section SoftLabels (see SoftLabelOptions) and, in Arch.teacher, the keys of
    the teacher's view (size, interpolation, mean, std), by which crops are cut from the files' pixels here, while `ssld train`
    makes the teacher's images of the student's; Arch.teachers may be a list of several, whose distributions are averaged.
    DataLoader.Train.dataset gives image_root, cls_label_path and delimiter; its transforms are not used. Where there is
    DataLoader.Eval, teachers are measured first. An interrupted run goes on when it is started again.

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
    teachers, labeller = _labeller(config, options, settings.seed, str(output))
    writer = None if dry_run else _writer(config, options, output, teachers, labeller)
    if device.is_main():
        _announce(options, output, labeller, len(teachers))
    measure_teachers(teachers, output, dry_run)
    with together():
        if device.is_main() and (dry_run or writer.shards()):
            _check(labeller)
    if dry_run:
        return None
    if device.is_main():
        config.write(output / CONFIG)
    generate(labeller, writer, options.max_bad_fraction)
    return Store(output)


def _options(config: Config) -> tuple[SoftLabelOptions, Path]:
    """The section SoftLabels, and where the store goes."""
    given, where = config.section(SECTION), config.where(SECTION)
    check_arguments(SoftLabelOptions, given, where)
    with located(where):
        options = SoftLabelOptions(**given)
    teacher = config.section("Arch").get("teacher")
    path = teacher.get("path") if isinstance(teacher, Mapping) and not is_onnx(config) else None
    run = config.section("Global").get("output_dir")
    output = options.output or path or (run and Path(run) / FOLDER)
    if not output:
        raise InputError(f"{where} needs the option 'output', the folder of the store, unless Arch.teacher.path or "
                         "Global.output_dir says where to write.")
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


def _labeller(config: Config, options: SoftLabelOptions, seed: int, name: str) -> tuple[list[Teacher], Labeller]:
    """The teachers, and what asks them about the crops of the list; `name` is that of the store."""
    images = _list(config, options)
    teachers = build_teachers(config)
    ensemble = build_ensemble(config, teachers, options.temperature)
    k = _K if options.kind in MARGINAL and options.k is None else options.k
    with located(config.where(SECTION)):
        codec = Codec(options.kind, k, ensemble.class_num, name)
    grouping = Grouping.of(options.crops, options.batch_size)
    return teachers, Labeller(images, _crops_of(config, options, images, seed), grouping, ensemble, codec, options.num_workers)


def _crops_of(config: Config, options: SoftLabelOptions, images: Manifest, seed: int) -> CropSource:
    if options.boxes_of is None:
        return DrawnCrops(images.path, seed, options.crops, options.scale, options.ratio)
    with located(config.where(SECTION, "boxes_of")):
        return StoredCrops(Store(options.boxes_of), images, options.crops)


def _writer(config: Config, options: SoftLabelOptions, output: Path, teachers: Sequence[Teacher],
            labeller: Labeller) -> StoreWriter:
    """The folder of the store, which the main process claims before the others look at it."""
    images = labeller.images
    facts = {**facts_of_teachers(teachers), "temperature": options.temperature, **labeller.crops_of.facts,
             "batch_size": options.batch_size, "image_root": str(images.root),
             "list": {"file": str(images.source), "sha256": sha256_file(images.source)},
             "ssld": __version__, "paddle": paddle.__version__}
    for mains_turn in (True, False):
        with together(), located(config.where(SECTION)):
            if mains_turn == device.is_main():
                if not mains_turn and not output.exists():
                    raise InputError(f"{output} is not there: it must be on a disk that all processes see.")
                writer = StoreWriter(output, facts, images, labeller.codec, options.crops, options.shard_images)
    return writer


def _announce(options: SoftLabelOptions, output: Path, labeller: Labeller, teachers: int) -> None:
    """What the run will cost."""
    images, size = len(labeller.images), labeller.codec.dtype.itemsize
    crops, passes = images * options.crops, teachers * labeller.grouping.passes(images, options.shard_images)
    print(f"{images:,} images x {options.crops} crops x {size} bytes = {crops * size:,} bytes ({crops * size / _GB:,.1f} GB) "
          f"in {output}; {crops * teachers:,} crops through {teachers} teacher{'s' if teachers > 1 else ''}, in {passes:,} "
          f"forward passes of {labeller.grouping.size}", flush=True)


def _check(labeller: Labeller) -> None:
    """The self-check, and how long the run will take at its speed."""
    found = self_check(labeller.images, labeller.crops_of, labeller.grouping, labeller.ensemble)
    left = found.seconds * len(labeller.images) * labeller.grouping.crops / device.world_size()
    print(f"self-check: {found}; at this speed all of it takes about {duration(left)}", flush=True)
