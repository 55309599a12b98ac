"""From the sections DataLoader and Metric of a config to lists, loaders and evaluation."""
from __future__ import annotations

from collections.abc import Mapping

from .checks import numbers, positive_int
from .config import Config
from .data.dataset import DATASETS, ImageNetDataset
from .data.loader import Loader, MixingLoader, StepSampler
from .data.mix import build_mix
from .data.repeated import RASampler
from .device import rank, world_size
from .errors import InputError, located
from .registry import check_arguments, check_keys, nearest, options_of
from .train.evaluate import Evaluation, evaluate
from .train.settings import Settings

_PLAIN = "DistributedBatchSampler"
_SAMPLERS = {_PLAIN: StepSampler, "RASampler": RASampler}


def build_dataset(config: Config, mode: str, seed: int = 0) -> ImageNetDataset:
    """DataLoader.Train.dataset or DataLoader.Eval.dataset."""
    where = config.where("DataLoader", mode, "dataset")
    options = options_of(loader_section(config, mode).get("dataset"), where)
    name = options.pop("name", "ImageNetDataset")
    if options.pop("batch_transform_ops", None) and mode == "Eval":
        raise InputError(f"{where}: batch_transform_ops mixes images, which an evaluation must not. Remove it.")
    return DATASETS.build(name, options, where, seed=seed, section=where)


def build_train_loader(config: Config, settings: Settings) -> Loader:
    """DataLoader.Train: images of the list, in batches by step."""
    dataset = build_dataset(config, "Train", settings.seed)
    loading = loading_options(config, "Train")
    return Loader(dataset, train_sampler(config, settings, len(dataset), rank(), world_size()), **loading)


def train_sampler(config: Config, settings: Settings, images: int, rank: int, world: int) -> StepSampler:
    """DataLoader.Train.sampler, for a list of so many images."""
    kind, options = _sampler(config, "Train")
    with located(f"{config.where('DataLoader', 'Train')}: {loader_section(config, 'Train')['dataset']['cls_label_path']}"):
        return kind(images, seed=settings.seed, rank=rank, world=world, **options)


def mixed(config: Config, settings: Settings, loader: Loader) -> Loader:
    """DataLoader.Train.dataset.batch_transform_ops: the loader with its images mixed, if there is something to mix them."""
    where = config.where("DataLoader", "Train", "dataset", "batch_transform_ops")
    mix = build_mix(loader_section(config, "Train")["dataset"].get("batch_transform_ops"), where)
    return MixingLoader(loader, mix, settings.seed) if mix else loader


def has_evaluation(config: Config) -> bool:
    """Whether there is a list to evaluate on."""
    return bool(config.section("DataLoader").get("Eval"))


def evaluator(config: Config, dataset=None):
    """A function from a network (or engine) to its Evaluation on DataLoader.Eval, or on another form of its dataset."""
    workers = loading_options(config, "Eval").get("num_workers", 0) if dataset is None else 0
    dataset = build_dataset(config, "Eval") if dataset is None else dataset
    batch_size = sampler_options(config, "Eval")["batch_size"]
    topk = _topk(config)

    def measure(network) -> Evaluation:
        return evaluate(network, dataset, batch_size, workers, topk)

    measure.dataset = dataset
    return measure


def loader_section(config: Config, mode: str) -> Mapping:
    check_keys(config.section("DataLoader"), ("Train", "Eval"), config.where("DataLoader"))
    section = config.section("DataLoader").get(mode)
    if not isinstance(section, Mapping):
        raise InputError(f"{config.where('DataLoader')} needs '{mode}' with dataset, sampler and loader.")
    check_keys(section, ("dataset", "sampler", "loader"), config.where("DataLoader", mode))
    return section


def sampler_options(config: Config, mode: str) -> dict:
    """DataLoader.*.sampler, of which each image is seen once a pass: batch_size (per process), shuffle, drop_last.

    Raises:
        InputError: another sampler, or a wrong option.
    """
    kind, options = _sampler(config, mode)
    if kind is not StepSampler:
        raise InputError(f"{config.where('DataLoader', mode, 'sampler')}: {kind.__name__} is for training on images as they "
                         f"come, not here. Use {_PLAIN}.")
    return options


def batch_size_of(config: Config, mode: str) -> int:
    """Images per process and step."""
    return _sampler(config, mode)[1]["batch_size"]


def _sampler(config: Config, mode: str) -> tuple[type[StepSampler], dict]:
    """What DataLoader.*.sampler names, and its options."""
    where = config.where("DataLoader", mode, "sampler")
    options = options_of(loader_section(config, mode).get("sampler"), where)
    name = options.pop("name", _PLAIN)
    if name not in _SAMPLERS:
        raise InputError(f"{where}: there is no sampler '{name}'. {nearest(name, _SAMPLERS)}")
    check_arguments(_SAMPLERS[name], options, where, injected=["size", "seed", "rank", "world"])
    return _SAMPLERS[name], options


def loading_options(config: Config, mode: str) -> dict:
    """DataLoader.*.loader: num_workers, use_shared_memory."""
    where = config.where("DataLoader", mode, "loader")
    options = options_of(loader_section(config, mode).get("loader"), where)
    check_arguments(Loader, options, where, injected=["dataset", "sampler"])
    return options


def _topk(config: Config) -> tuple[int, ...]:
    """Metric.Eval: [{TopkAcc: {topk: [1, 5]}}]; top-1 is always measured."""
    topk = {1}
    check_keys(config.section("Metric"), ("Train", "Eval"), config.where("Metric"))
    for place, entry in enumerate(config.section("Metric").get("Eval") or [{"TopkAcc": {"topk": [1, 5]}}]):
        if not isinstance(entry, Mapping) or set(entry) != {"TopkAcc"}:
            raise InputError(f"{config.where('Metric', 'Eval', place)}: expected TopkAcc, found {entry!r}.")
        where = config.where("Metric", "Eval", place, "TopkAcc")
        options = options_of(entry["TopkAcc"], where)
        check_keys(options, ("topk",), where)
        topk |= {positive_int(f"{where}.topk", k) for k in numbers(f"{where}.topk", options.get("topk", [1, 5]))}
    return tuple(sorted(topk))
