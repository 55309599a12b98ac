"""From a config to the parts of a Fix stage: its checks, and training on features that are computed once."""
from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from dedup.images import size_in_bytes

from . import __version__
from .config import Config
from .data.dataset import ImageNetDataset
from .data.loader import Loader
from .data.manifest import Manifest
from .distiller import Distiller
from .errors import InputError, located
from .teachers.recorded import ENTRY
from .train.cached_data import CachedDataset, CachedLoader
from .train.classifier_stage import FEATURES, TEACHER, Answers, ClassifierDistiller, classifier_of, widths_of
from .train.evaluate import Evaluation
from .train.fix_stage import check_fix_stage
from .train.row_cache import RowCache
from .train.settings import Settings

FOLDER = "features"             # in output_dir


def check(config: Config, model: Distiller, train: ImageNetDataset) -> None:
    """What must hold for a Fix stage; see ssld.train.fix_stage."""
    ops = [_ops(config, mode) for mode in ("Train", "Eval")]
    with located(config.file):
        check_fix_stage(model.student, model.frozen, *ops, train.image_size())


def on_features(config: Config, settings: Settings, model: Distiller, loader: Loader, measure: Callable,
                evaluator: Callable) -> tuple[ClassifierDistiller, CachedLoader, Callable]:
    """The same training on what the classifier sees of each image, and on what the teacher says about it.

    Nothing is computed before it is asked for: neither by a dry run, nor before the teacher was measured.

    Args:
        config, settings: of the run.
        model, loader, measure: of the same training on images.
        evaluator: dataset -> (network -> Evaluation).

    Returns:
        Model, loader and measure in their place.

    Raises:
        InputError: a loss or a teacher that needs the images in each batch.
    """
    _check_teacher(config, model)
    entries = {FEATURES: "image", **({TEACHER: ENTRY} if model.teacher else {})}
    cache = _cache(config, settings, "Train", loader.dataset, model, model.teacher, loader.sampler.batch_size)
    on_classifier = CachedLoader(CachedDataset(loader.dataset, cache, entries), loader.sampler)
    seen = _cache(config, settings, "Eval", measure.dataset, model, None, loader.sampler.batch_size)
    measure = _measure(model, measure, evaluator(CachedDataset(measure.dataset, seen, {FEATURES: "image"})))
    with located(config.file):
        return ClassifierDistiller(model.student, model.teacher, model.terms, model.frozen), on_classifier, measure


def _measure(model: Distiller, on_images: Callable, on_features: Callable) -> Callable:
    """Measures the student by its classifier alone, and any other network, such as a teacher, on images."""
    def measure(network) -> Evaluation:
        if network is not model.student:
            return on_images(network)
        on_features.dataset.cache.rows()        # here, where all processes are, and not in a thread that reads
        return on_features(classifier_of(model.student, model.frozen))

    measure.dataset = on_images.dataset
    return measure


def _check_teacher(config: Config, model: Distiller) -> None:
    if model.teacher is not None and model.teacher.identity.batch_norm == "batch":
        raise InputError(f"{config.where('Arch', 'teacher')}: with batch_norm 'batch' the teacher's answer about an image "
                         "depends on the rest of the batch, so it cannot be computed once. Set batch_norm: running, or "
                         "Global.cache_features: false.")


def _cache(config: Config, settings: Settings, mode: str, dataset: ImageNetDataset, model: Distiller, teacher,
           batch_size: int) -> RowCache:
    """The features of a list, and the teacher's answers if there is one to ask."""
    made_of = {"the student": model.frozen.fingerprint(), "the list of images": _images(dataset.manifest),
               "the preprocessing": _sha256(_ops(config, mode)), "features_engine": settings.features_engine,
               "the version of ssld": __version__}
    if teacher is not None:
        made_of["the teacher"] = _sha256(teacher.identity)
    workers = (config.section("DataLoader")[mode].get("loader") or {}).get("num_workers", 0)
    return RowCache(Path(settings.output_dir) / FOLDER / mode.lower(), dataset, made_of,
                    widths_of(model.student, model.frozen, teacher),
                    lambda: Answers(model.student, teacher, dataset.image_size(), settings.features_engine),
                    batch_size, workers)


def _images(manifest: Manifest) -> str:
    """SHA-256 over the paths and sizes of a list's images; labels may change, features do not depend on them."""
    digest = hashlib.sha256(str(manifest.root).encode())
    for row, path in enumerate(manifest.path):
        digest.update(f"\n{path}\t{size_in_bytes(manifest.file(row))}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _ops(config: Config, mode: str) -> list:
    section = config.section("DataLoader").get(mode)
    if not section:
        raise InputError(f"{config.where('DataLoader')} needs '{mode}': fix_resolution trains with the preprocessing of the "
                         "evaluation.")
    return section["dataset"]["transform_ops"]


def _sha256(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
