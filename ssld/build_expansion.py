"""From the config of a curation to its steps; the counterpart of `ssld.build` for `ssld expand`."""
from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from dedup import GroupOptions, Options
from dedup.files import sha256_file
from dedup.network.calibrate import Calibration, calibrate
from dedup.overrides import read_overrides
from dedup.workers.executors import open_executor

from . import device
from .build import build_settings
from .build_networks import VIEW_KEYS, build_frozen_network
from .build_onnx import build_onnx_engine, is_onnx, onnx_digest
from .build_own_view import build_own_view
from .config import Config
from .curation.columns import ABSENT, Scores
from .curation.duplicates import read_fates, remove_duplicates, source_of
from .curation.expand import Expansion, Lists, expand
from .curation.fates import Fates
from .curation.features import TeacherEmbedding
from .curation.score import Scorer, score
from .curation.selectors import SELECTORS
from .curation.stored_features import StoredFeatures
from .data.manifest import Manifest
from .data.transforms import build_transforms
from .errors import InputError, located
from .models.features import WithFeatures
from .models.weights import fingerprint
from .progress import Progress
from .registry import check_arguments
from .teachers.engines import make_engine
from .teachers.live import LiveTeacher
from .teachers.own_view import OwnView
from .teachers.program import ProgramEngine

SECTIONS = ("Global", "Engine", "Arch", "Lists", "Remove", "Score", "Select", "Merge")
_REMOVE_KEYS = ("within_pool", "max_error_fraction", "features")        # besides the parameters of dedup.Options
_SCORE_KEYS = ("transform_ops", "features", "gpus_per_task")            # besides the arguments of `score`


def run_expansion(config: Config, overrides: str | Path | None = None, dry_run: bool = False) -> Expansion:
    """Run the curation that `config` describes; under paddle.distributed.launch the processes share the scoring.

    Sections: Engine (engine: local or ray, workers, address, temp_dir), Lists (pool, evaluation, labelled: image_root,
    cls_label_path, delimiter), Remove (within_pool, features, max_error_fraction and the parameters of dedup.Options),
    Arch.teacher (a network, or `program`: an exported model) and Score (top, features, batch_size, shard_size,
    num_workers, max_bad_fraction, gpus_per_task, transform_ops), Select (name of a selector, its options, output:
    subfolder) and Merge (image_root). What Score.transform_ops give is turned into what the teacher's size, interpolation,
    mean and std ask for, where it has these keys.

    Args:
        config: the curation.
        overrides: file of a person's decisions, see `dedup.overrides`.
        dry_run: compute and account for everything, and write no list.

    Raises:
        InputError: anything in config, lists or weights that the user can mend.
    """
    settings = build_settings(config, SECTIONS)
    device.start(settings.device)
    lists = Lists(**{name: _read(config, name) for name in Lists._fields})
    select, output = _selector(config)
    check_arguments(_merge_options, config.section("Merge"), config.where("Merge"))
    check_arguments(open_executor, config.section("Engine"), config.where("Engine"), injected=["gpus_per_task"])
    steps = _Steps(config, settings.output_dir, overrides and read_overrides(overrides))
    origin = {"config": config.data, "config_file": config.file}
    return expand(lists, settings.output_dir, steps.remove, steps.score, select, config.section("Arch")["teacher"]["class_num"],
                  config.section("Merge").get("image_root"), output, origin, dry_run)


def run_calibration(config: Config, images: int = 200, max_others: int = 2000) -> Calibration:
    """Thresholds for the features of `config`'s teacher on its evaluation list, with its pool as other pictures.

    Args:
        config: of a curation.
        images: evaluation images that copies are planted of.
        max_others: pool images that show what would be removed by mistake.

    Raises:
        InputError: as `run_expansion`, and as `dedup.network.calibrate`.
    """
    settings = build_settings(config, SECTIONS)
    device.start(settings.device)
    evaluation, pool = (_read(config, name) for name in ("evaluation", "pool"))
    options = {key: value for key, value in config.section("Remove").items() if key not in _REMOVE_KEYS}
    check_arguments(Options, options, config.where("Remove"), injected=["embedding"])
    with located(config.where("Remove")):
        options = Options(**options, embedding=config.section("Arch")["teacher"]["name"])
    progress = Progress("features", 0)

    def show(done: int, total: int) -> None:
        progress.total = total
        progress.update(done)

    return calibrate(source_of(evaluation), teacher_embedding(config), options, source_of(pool), images=images,
                     max_others=max_others, seed=settings.seed, progress=show)


class _Steps:
    """Removal and scoring as the config wants them; everything that can be wrong in it is looked at when it is made."""

    def __init__(self, config: Config, out: str | Path, overrides):
        self.config, self.out, self.overrides = config, Path(out), overrides
        removal = config.section("Remove")
        self.shares_features = bool(removal.pop("features", False))
        self.limits = {key: removal.pop(key) for key in ("max_error_fraction",) if key in removal}
        self.within_pool = _within_pool(config, removal.pop("within_pool", False))
        check_arguments(Options, removal, config.where("Remove"), injected=["embedding"])
        scoring = config.section("Score")
        scoring.setdefault("features", self.shares_features)
        own = {key: scoring.pop(key) for key in _SCORE_KEYS if key in scoring}
        check_arguments(score, scoring, config.where("Score"),
                        injected=["pool", "wanted", "open_scorer", "out", "plan", "executor"])
        self.scoring, self.gpus = scoring, own.get("gpus_per_task", 0)
        self.open_scorer = partial(_open_scorer, json.dumps(config.data), config.file, bool(own["features"]))
        self.plan = _plan(config, own)
        with located(config.where("Remove")):
            self.options = Options(**removal, embedding=self.plan["weights"] if self.shares_features else "")

    def remove(self, lists: Lists, out: Path) -> Fates:
        """The fates of the pool's rows; with shared features everything is scored first."""
        embed = self._embed(lists.pool) if self.shares_features else None
        with device.main_first():
            if device.is_main():
                with self._executor() as executor:
                    remove_duplicates(*lists, out, self.options, self.within_pool, self.overrides, embed, executor,
                                      **self.limits)
        return read_fates(lists.pool, out)

    def score(self, pool: Manifest, wanted: np.ndarray, out: Path) -> Scores:
        """The teacher's opinion of the wanted rows: by this process and its fellows, or by Ray."""
        on_ray = self.config.section("Engine").get("engine") == "ray"
        with self._executor(gpus_per_task=self.gpus) if on_ray else contextlib.nullcontext() as executor:
            return score(pool, wanted, self.open_scorer, out, {**self.plan, "paths": pool.path.sha256()},
                         executor=executor, **self.scoring)

    def _embed(self, pool: Manifest) -> StoredFeatures:
        """Features of the pool, computed while scoring it; those of the evaluation images come from the teacher itself."""
        folder = self.out / "scores"
        scores = self.score(pool, pool.path.first_occurrences(), folder)
        with device.main_first():
            if device.is_main():
                StoredFeatures.write(folder, pool.root, pool.path, folder / "feature.npy",
                                     scores.columns["teacher_class"][:, 0] != ABSENT)
        return StoredFeatures(folder, teacher_embedding(self.config))

    def _executor(self, **options):
        with located(self.config.where("Engine")):
            return open_executor(**self.config.section("Engine"), **options)


def _selector(config: Config) -> tuple[Callable, str]:
    """The function that selects, and the subfolder of its results."""
    options, where = config.section("Select"), config.where("Select")
    name, output = options.pop("name", "top_k"), options.pop("output", ".")
    check_arguments(SELECTORS.get(name, where), options, f"{where}.{name}", injected=["manifest"])
    return lambda pool: SELECTORS.build(name, options, where, manifest=pool), output


def _within_pool(config: Config, value) -> GroupOptions | None:
    if not value:
        return None
    where, options = config.where("Remove", "within_pool"), {} if value is True else value
    if not isinstance(options, Mapping):
        raise InputError(f"{where} must be true, false or 'key: value' settings, not {value!r}.")
    check_arguments(GroupOptions, options, where)
    with located(where):
        return GroupOptions(**options)


def _read(config: Config, name: str) -> Manifest:
    section = config.section("Lists").get(name) or {}
    check_arguments(_list_options, section, config.where("Lists", name))
    return _list_options(**section)


def _list_options(cls_label_path: str, image_root: str | None = None, delimiter: str = " ") -> Manifest:
    return Manifest.read(cls_label_path, image_root, delimiter)


def _merge_options(image_root: str | None = None) -> None:
    """The keys of Merge."""


def _program_options(program: str, class_num: int, outputs: str = "logits") -> None:
    """The keys of Arch.teacher for an exported model."""


def _plan(config: Config, own: Mapping) -> dict:
    """What the scores depend on, apart from the list."""
    teacher = config.section("Arch")["teacher"]
    if teacher.get("engine") == "onednn_bf16":
        raise InputError(f"{config.where('Arch', 'teacher')}: scores are computed in float32; onednn_bf16 is for a teacher in "
                         "`ssld train`, where it is compared with float32 first. Use engine: auto.")
    if is_onnx(config):
        _refuse_features(config, bool(own["features"]))
        weights, network = onnx_digest(build_onnx_engine(config).file), teacher
    else:
        weights = sha256_file(f"{teacher['program']}.pdiparams") if "program" in teacher else fingerprint(
            build_frozen_network(config).state_dict())
        network = {key: teacher.get(key) for key in ("name", "program", "outputs", "class_num")}
        network.update((key, teacher[key]) for key in VIEW_KEYS if key in teacher)
    _own_view(config)                   # refused here rather than in every process that scores
    return {"weights": weights, "network": network, "transform_ops": own.get("transform_ops"),
            "engine": teacher.get("engine", "auto"), "features": bool(own["features"])}


@lru_cache(maxsize=1)
def _open_scorer(settings: str, file: str, features: bool) -> Scorer:
    """The teacher and its evaluation view, once per process; `settings` is the config as JSON, which any process can read."""
    config = Config(json.loads(settings), file)
    device.start(build_settings(config, SECTIONS).device)
    transform = _evaluation_view(config)
    teacher = config.section("Arch")["teacher"]
    if "program" in teacher:
        check_arguments(_program_options, teacher, config.where("Arch", "teacher"))
        return Scorer(transform, ProgramEngine(teacher["program"], teacher.get("outputs", "logits")), teacher["class_num"])
    if is_onnx(config):
        engine = build_onnx_engine(config)
    else:
        network = build_frozen_network(config)
        engine = make_engine(WithFeatures(network) if features else network, teacher.get("engine", "auto"))
    return Scorer(transform, LiveTeacher(engine, view=_own_view(config)).logits, teacher["class_num"])


def teacher_embedding(config: Config) -> TeacherEmbedding:
    """Features of Arch.teacher in its evaluation view, as `embed` function of dedup.

    Raises:
        InputError: the teacher is an exported program, whose features are not known.
    """
    teacher = config.section("Arch")["teacher"]
    _refuse_features(config, "program" in teacher or is_onnx(config))
    network = partial(_frozen_network, json.dumps(config.data), config.file)
    return TeacherEmbedding(network, _evaluation_view(config), teacher.get("engine", "auto"), view=_own_view(config))


def _refuse_features(config: Config, wanted: bool) -> None:
    """Raise InputError where features are wanted of a teacher that is a file of another framework, or an exported program."""
    teacher = config.section("Arch")["teacher"]
    if wanted:
        raise InputError(f"{config.where('Arch', 'teacher')}: features are wanted, but the exported program "
                         f"{teacher.get('program', teacher.get('path'))} gives none. Name the network and its weights instead.")


def _frozen_network(settings: str, file: str):
    return build_frozen_network(Config(json.loads(settings), file))


def _own_view(config: Config) -> OwnView | None:
    """What the teacher makes of the pool's images; an exported program has no keys for that."""
    return None if "program" in config.section("Arch")["teacher"] else build_own_view(config, [("Score", "transform_ops")])


def _evaluation_view(config: Config):
    return build_transforms(config.section("Score").get("transform_ops"), config.where("Score", "transform_ops"))
