"""The section Transfer: a student, a task, what to search over, and what to compare at the end."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import one_of, positive_int
from ..config import Config
from ..errors import InputError, located
from ..export.student import USES
from ..recipe.plan import filled_list
from ..registry import check_arguments, nearest, options_of

SAMPLERS = ("random", "tpe")
SCRATCH, GRID = "scratch", "grid"


@dataclass(frozen=True)
class Images:
    """Where labelled pictures are.

    Attributes:
        image_root: folder that the list's paths are relative to; without a list, a folder with a subfolder for each class.
        cls_label_path: list of "path label" lines.
        delimiter: between path and label.
    """

    image_root: str
    cls_label_path: str | None = None
    delimiter: str = " "

    @property
    def is_folder(self) -> bool:
        """Whether subfolders say the classes."""
        return self.cls_label_path is None


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Attributes:
        multipliers: names (see `ssld.transfer.space`) and lists; default: the published list of the backbone, half of it, twice
            it, and all ones.
        learning_rate, l2: a list of values, or {low, high} between which they are drawn evenly on a logarithmic scale; default:
            the config's.
        trials: how many settings are tried; "grid": all of them.
        sampler: random, or tpe, which learns from earlier rounds.
        rounds: in how many the trials are drawn.
        rungs: epochs after which trials are compared, the last one being the whole length.
        eta: of the trials that come to a rung, the best 1 / eta go on.
        seed: of what is drawn, of the part that is held out, and of the trials' training.
    """

    multipliers: list | None = None
    learning_rate: list | Mapping | None = None
    l2: list | Mapping | None = None
    trials: int | str = GRID
    sampler: str = "random"
    rounds: int = 1
    rungs: list = field(default_factory=lambda: [1, 3, 9])
    eta: int = 3
    seed: int = 0

    def __post_init__(self):
        if self.trials != GRID:
            positive_int("trials (a number, or 'grid')", self.trials)
        one_of("sampler", self.sampler, SAMPLERS)
        positive_int("rounds", self.rounds)
        if self.seed != 0:
            positive_int("seed", self.seed)
        if positive_int("eta", self.eta) < 2:
            raise InputError("eta must be at least 2: of the trials at a rung, the best 1 / eta go on.")
        if (self.sampler == "tpe") != (self.rounds > 1):
            raise InputError("sampler: tpe learns from the rounds before, so it needs rounds above 1; sampler: random learns "
                             "nothing, and has one round.")
        if self.rounds > 1 and (self.trials == GRID or self.trials < self.rounds):
            raise InputError(f"{self.rounds} rounds need a number of trials, at least one for each, not {self.trials!r}.")
        _check_rungs(self.rungs)


@dataclass(frozen=True)
class Final:
    """What the best setting is compared with.

    Attributes:
        seeds: each row is trained and measured with each.
        baselines: names of multiplier sets, and "scratch": the same backbone from random weights, all of whose rates are equal.
        scratch: settings of that run, dotted key -> value, such as a higher rate; default: the config's own.
    """

    seeds: list = field(default_factory=lambda: [0])
    baselines: list = field(default_factory=list)
    scratch: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class Transfer:
    """What a transfer's file says.

    Attributes:
        student: folder of `ssld export`.
        config: YAML of a training, relative to the transfer's file: losses, optimizer, transforms. Student, lists and length
            are put in.
        output_dir: for everything that is written.
        train: labelled images to learn from.
        eval: labelled images that nothing is chosen by; each row of the result is measured on them.
        validation: what settings are chosen by: the share of `train` that is held out, or images of its own.
        class_names: file with a name for each class, where lists are given; see `ssld export --help`.
        new_classifier: whether the last layer begins anew; default: if the classes are others than the student's.
        use: which of the published multipliers are meant, those for classification or for detection.
        also: further formats of the network that is exported at the end, see `ssld export --help`.
        check_images: look at every picture first, and leave out those that cannot be read and copies of others.
        processes: with more than one, runs are distributed, see `ssld.recipe.plan.Recipe`.
        search, final: see Search and Final.
        title: of the table and the plot.
    """

    student: str
    config: str
    output_dir: str
    train: Images
    eval: Images
    validation: float | Images = 0.2
    class_names: str | None = None
    new_classifier: bool | None = None
    use: str = "classification"
    also: list = field(default_factory=list)
    check_images: bool = True
    processes: int = 1
    search: Search = field(default_factory=Search)
    final: Final = field(default_factory=Final)
    title: str = "Transfer"

    def __post_init__(self):
        one_of("use", self.use, USES)
        if not isinstance(self.also, list):
            raise InputError(f"also must be a list of formats such as [onnx], not {self.also!r}.")
        share = self.validation
        if not isinstance(share, Images) and not (isinstance(share, float) and 0 < share < 1):
            raise InputError(f"validation must be the share of the training list to hold out, between 0 and 1, or images of "
                             f"its own as '{{image_root: ...}}', not {share!r}.")
        if self.class_names and self.train.is_folder:
            raise InputError("class_names belongs to a list; with a folder the subfolders' names are the classes'.")
        if not self.train.is_folder and any(isinstance(each, Images) and each.is_folder for each in (self.eval, share)):
            raise InputError("train is a list, whose classes are numbers, so eval and validation must be lists as well: the "
                             "numbers of a folder's classes would be others.")


def read_transfer(config: Config) -> Transfer:
    """The section Transfer of a config.

    Raises:
        InputError: anything that the user can mend, with its place.
    """
    config.check_sections(["Transfer"])
    where, section = config.where("Transfer"), config.section("Transfer")
    check_arguments(Transfer, section, where)
    parts = {"train": Images, "eval": Images, "search": Search, "final": Final}
    if isinstance(section.get("validation"), Mapping):
        parts["validation"] = Images
    for name in parts.keys() & section.keys():
        section[name] = _part(parts[name], section[name], f"{where}.{name}")
    _check_final(section.get("final", Final()), f"{where}.final")
    section["config"] = str(Path(config.file).parent / section["config"])
    with located(where):
        return Transfer(**section)


def _part(kind: type, options, where: str):
    options = options_of(options, where)
    check_arguments(kind, options, where)
    with located(where):
        return kind(**options)


def _check_rungs(rungs) -> None:
    if not isinstance(rungs, list) or not rungs:
        raise InputError(f"rungs must be a list of epochs such as [1, 3, 9], not {rungs!r}.")
    for epochs in rungs:
        positive_int("each of rungs", epochs)
    if any(later <= earlier for earlier, later in zip(rungs, rungs[1:])):
        raise InputError(f"rungs must increase, since trials go on from one to the next: {rungs}.")


def _check_final(final: Final, where: str) -> None:
    filled_list(final.seeds, f"{where}.seeds")
    if not isinstance(final.baselines, list) or not all(isinstance(name, str) for name in final.baselines):
        raise InputError(f"{where}.baselines must be a list of names such as [ones, scratch], not {final.baselines!r}.")
    if len(set(final.baselines)) < len(final.baselines):
        raise InputError(f"{where}.baselines: names must differ from one another: {final.baselines}.")
    if not isinstance(final.scratch, Mapping):
        raise InputError(f"{where}.scratch must hold 'Dotted.key: value' settings, not {final.scratch!r}.")
    if final.scratch and SCRATCH not in final.baselines:
        raise InputError(f"{where}: scratch holds settings of a run that baselines do not name. "
                         f"{nearest(SCRATCH, final.baselines)} Add '{SCRATCH}' to baselines.")
