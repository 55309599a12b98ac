"""From the config of a curation to its steps; the counterpart of `ssld.build` for `ssld expand`."""
from __future__ import annotations

from functools import partial
from pathlib import Path

from . import device
from .build import build_frozen_network, build_settings
from .config import Config
from .curation.duplicates import remove_duplicates
from .curation.expand import Expansion, Lists, expand
from .curation.score import score
from .curation.selectors import SELECTORS
from .data.dataset import ManifestDataset
from .data.manifest import Manifest
from .data.transforms import build_transforms
from .models.weights import fingerprint
from .registry import check_arguments
from .teachers.engines import make_engine

SECTIONS = ("Global", "Arch", "Lists", "Remove", "Score", "Select", "Merge")


def run_expansion(config: Config) -> Expansion:
    """Run the curation that `config` describes; under paddle.distributed.launch the processes share the scoring.

    Sections: Lists (pool, evaluation, labelled: image_root, cls_label_path, delimiter), Remove (workers,
    max_error_fraction and the parameters of dedup.Options), Arch.teacher and Score (top, batch_size, shard_size,
    num_workers, max_bad_fraction, transform_ops), Select (name of a selector, its options, output: subfolder) and
    Merge (image_root).

    Raises:
        InputError: anything in config, lists or weights that the user can mend.
    """
    settings = build_settings(config, SECTIONS)
    device.start(settings.device)
    lists = Lists(**{name: _read(config, name) for name in Lists._fields})
    select_options = config.section("Select")
    name, output = select_options.pop("name", "top_k"), select_options.pop("output", ".")
    where = config.where("Select")
    check_arguments(SELECTORS.get(name, where), select_options, f"{where}.{name}", injected=["manifest"])
    check_arguments(_merge_options, config.section("Merge"), config.where("Merge"))
    origin = {"config": config.data, "config_file": config.file}
    return expand(lists, settings.output_dir, partial(_remove, config), partial(_score, config, settings.seed),
                  lambda scored: SELECTORS.build(name, select_options, where, manifest=scored),
                  config.section("Arch")["teacher"]["class_num"], config.section("Merge").get("image_root"), output, origin)


def _read(config: Config, name: str) -> Manifest:
    section = config.section("Lists").get(name) or {}
    check_arguments(_list_options, section, config.where("Lists", name))
    return _list_options(**section)


def _list_options(cls_label_path: str, image_root: str | None = None, delimiter: str = " ") -> Manifest:
    return Manifest.read(cls_label_path, image_root, delimiter)


def _merge_options(image_root: str | None = None) -> None:
    """The keys of Merge."""


def _remove(config: Config, lists: Lists, out: Path):
    options = config.section("Remove")
    running = {key: options.pop(key) for key in ("workers", "max_error_fraction") if key in options}
    with device.main_first():
        return remove_duplicates(*lists, out, options, where=config.where("Remove"), quiet=not device.is_main(), **running)


def _score(config: Config, seed: int, pool: Manifest, out: Path):
    """Score the cleaned pool with Arch.teacher, in the evaluation view of Score.transform_ops."""
    options = config.section("Score")
    where = config.where("Score")
    transform_ops, max_bad_fraction = options.pop("transform_ops", None), options.pop("max_bad_fraction", 0.05)
    check_arguments(score, options, where, injected=["dataset", "teacher", "out", "plan"])
    dataset = ManifestDataset(pool, build_transforms(transform_ops, f"{where}.transform_ops"), max_bad_fraction)
    teacher = config.section("Arch")["teacher"]
    network = build_frozen_network(config)
    plan = {"paths": pool.path.sha256(), "weights": fingerprint(network.state_dict()),
            "network": {key: teacher[key] for key in ("name", "class_num")}, "transform_ops": transform_ops,
            "engine": teacher.get("engine", "auto")}
    return score(dataset, make_engine(network, teacher.get("engine", "auto")), out, plan, **options)
