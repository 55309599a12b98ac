"""From `Arch.teacher: {source: stored, path: DIR}` of a config to a teacher, a loader and the epochs of a run."""
from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Optional

import numpy as np

from dedup.lists import UNLABELLED

from .build_data import build_dataset, loader_section, loading_options, sampler_options
from .build_networks import SOURCES, STORED_KEYS, check_live_keys, network_options
from .checks import one_of, positive_int
from .config import Config
from .data.dataset import ManifestDataset
from .data.loader import Loader
from .data.manifest import Manifest, describe_rows
from .data.replay import ReplayDataset
from .device import is_main, rank, world_size
from .errors import InputError, located
from .registry import check_arguments, check_keys
from .softlabels.choice import POLICIES
from .softlabels.ferkd import FerKD
from .softlabels.labels import StoredLabels
from .softlabels.passes import CropPass, CropSampler, plan_passes
from .softlabels.store import Store
from .teachers.record import TeacherRecord
from .teachers.stored import StoredTeacher
from .train.parallel import together
from .train.settings import Settings


@dataclass(frozen=True)
class StoredOptions:
    """The keys of Arch.teacher for stored labels.

    Attributes:
        path: folder that `ssld soft-labels` wrote.
        crops_per_image: m, crops of each image per visit; they share one decoded picture.
        policy: which ones: random, drawn at each visit; cover: each crop once before any comes again.
        kind, k: form of the labels; default: as they are stored.
        one_crop_epochs, tail, tail_ahead: passes of one crop, see ssld.softlabels.passes.
        ferkd: options of ssld.softlabels.ferkd.FerKD, or None.
    """

    path: str
    crops_per_image: int = 4
    policy: str = "random"
    kind: Optional[str] = None
    k: Optional[int] = None
    one_crop_epochs: int = 0
    tail: bool = True
    tail_ahead: int = 0
    ferkd: Optional[Mapping] = None

    def __post_init__(self):
        positive_int("crops_per_image", self.crops_per_image)
        one_of("policy", self.policy, POLICIES)
        for name in ("one_crop_epochs", "tail_ahead"):
            if getattr(self, name) != 0:
                positive_int(name, getattr(self, name))


def is_stored(config: Config) -> bool:
    """Whether the teacher is a store of soft labels."""
    section = config.section("Arch").get("teacher") or {}
    return one_of(config.where("Arch", "teacher", "source"), section.get("source", "live"), SOURCES) == "stored"


def build_stored_teacher(config: Config) -> StoredTeacher:
    """Arch.teacher with `source: stored`; the keys of a live teacher may stand beside it and say nothing."""
    options = _options(config)
    with located(config.where("Arch", "teacher")):
        store = Store(options.path)
        store.codec.check_request(options.kind, options.k)
    student = network_options(config, "student")
    if student["class_num"] != store.class_num:
        raise InputError(f"{config.where('Arch')}: {student['name']} has class_num {student['class_num']}, but the soft labels "
                         f"in {store.folder} are for {store.class_num} classes. Set the student's class_num to that, or use "
                         "labels of a teacher with its classes.")
    return StoredTeacher(store)


def build_stored_loader(config: Config, settings: Settings, store: Store) -> Loader:
    """DataLoader.Train, where crops, flips and labels come from a store."""
    options, where = _options(config), config.where("Arch", "teacher")
    if settings.fix_resolution:
        raise InputError(f"{where}: stored labels belong to random crops, but a Fix stage trains on the evaluation's view. "
                         "Remove Arch.teacher and train the classifier on labels (CELoss), or use a live teacher.")
    listed = build_dataset(config, "Train", settings.seed)
    manifest, rows = _with_labels(store, listed)
    ferkd = _ferkd(config, options, manifest)
    with located(where):
        kind, k = store.codec.check_request(options.kind, options.k)
    labels = StoredLabels(store, rows, options.policy, kind, k, settings.seed, ferkd)
    with located(config.where("DataLoader", "Train", "dataset")):
        dataset = ReplayDataset(manifest, listed.transform, labels, listed.max_bad_fraction, settings.seed)
    dataset.replay.decode.ignore_orientation = store.meta.get("orientation", "ignored") == "ignored"
    sampler = crop_sampler(config, settings, len(dataset), rank(), world_size())
    return Loader(dataset, sampler, **loading_options(config, "Train"))


def crop_sampler(config: Config, settings: Settings, images: int, rank: int, world: int) -> CropSampler:
    """DataLoader.Train.sampler, for so many images with stored crops."""
    options = _options(config)
    with located(f"{config.where('DataLoader', 'Train')}: {loader_section(config, 'Train')['dataset']['cls_label_path']}"):
        return CropSampler(images, crops=options.crops_per_image, passes=_passes(settings, options),
                           accumulate=settings.update_freq, seed=settings.seed, rank=rank, world=world,
                           **sampler_options(config, "Train"))


def check_stored_teacher(config: Config, teacher: StoredTeacher, record: TeacherRecord, dataset: ReplayDataset) -> None:
    """Compare the store's files with their checksums, and show what FerKD does with it, once for all starts of a run.

    Raises:
        InputError: a file was altered.
    """
    store, ferkd = teacher.store, dataset.labels.ferkd
    with together():
        if not is_main():
            return
        record.once("checksums", {"files": _stamps(store)}, lambda: {"files": len(store.verify())})
        if ferkd is not None:
            inputs = {"options": dict(_options(config).ferkd), "store": store.sha256}
            survey, _ = record.once("ferkd", inputs, lambda: {"text": ferkd.survey(store, _by_row(store, dataset)).text()})
            print(survey["text"], flush=True)


def _by_row(store: Store, dataset: ReplayDataset) -> np.ndarray:
    """The label of the training list for each row of the store, -1 for rows that are not in the list; int64 [N]."""
    labels = np.full(len(store.images.path), UNLABELLED)
    labels[dataset.labels.rows] = dataset.manifest.label
    return labels


def _stamps(store: Store) -> dict[str, list[int]]:
    """Size and time of change of each file: while these stay, the files need not be read again."""
    files = [store.folder / entry["file"] for entry in (store.meta["table"], *store.meta["shards"])]
    return {file.name: [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def _options(config: Config) -> StoredOptions:
    section, where = config.section("Arch")["teacher"], config.where("Arch", "teacher")
    if "name" in section:
        check_live_keys(config)
    else:
        check_keys(section, STORED_KEYS, where)
    options = {key: value for key, value in section.items() if key in STORED_KEYS and key != "source"}
    check_arguments(StoredOptions, options, where)
    with located(where):
        return StoredOptions(**options)


def _passes(settings: Settings, options: StoredOptions) -> list[CropPass] | None:
    """The passes of the run; None where Global.iter_per_epoch says what an epoch is."""
    if settings.iter_per_epoch:
        return None
    return plan_passes(settings.epochs, options.crops_per_image, options.one_crop_epochs, options.tail, options.tail_ahead)


def _with_labels(store: Store, listed: ManifestDataset) -> tuple[Manifest, np.ndarray]:
    """The images of a list that have labels in the store, and their rows in it.

    Raises:
        InputError: images that the store does not know, or too many that could not be read when it was made.
    """
    manifest, rows = listed.manifest, store.rows_of(listed.manifest.path)
    unknown = np.flatnonzero(rows < 0)
    if len(unknown):
        raise InputError(f"{store.folder} has no soft labels for {len(unknown):,} of the {len(manifest):,} images of "
                         f"{manifest.source}; it was made for another list:{describe_rows(manifest, unknown)}\n"
                         "Use the list that the labels were made for, or run `ssld soft-labels` with this one.")
    left_out = np.flatnonzero(~store.images.readable[rows])
    if not len(left_out):
        return manifest, rows
    message = (f"{len(left_out):,} of the {len(manifest):,} images of {manifest.source} could not be read when soft labels "
               f"were made:{describe_rows(manifest, left_out)}")
    if len(left_out) > listed.max_bad_fraction * len(manifest):
        raise InputError(f"{message}\nMore than max_bad_fraction {listed.max_bad_fraction} allows. Repair or remove them, or "
                         "raise max_bad_fraction.")
    if is_main():
        print(f"warning: {message}\nThey are left out.", file=sys.stderr)
    keep = store.images.readable[rows]
    return manifest.take(keep), rows[keep]


def _ferkd(config: Config, options: StoredOptions, manifest: Manifest) -> FerKD | None:
    if options.ferkd is None:
        return None
    where = config.where("Arch", "teacher", "ferkd")
    check_arguments(FerKD, options.ferkd, where)
    if manifest.unlabelled:
        raise InputError(f"{where}: FerKD compares with the true class, but {manifest.unlabelled:,} of {len(manifest):,} "
                         f"images of {manifest.source} have no label. Use a labelled list, or leave ferkd out.")
    with located(where):
        return FerKD(**options.ferkd)
