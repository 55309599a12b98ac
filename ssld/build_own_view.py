"""From size, interpolation, mean and std of Arch.teacher to what turns images of the run into the teacher's own."""
from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from .build_data import has_evaluation
from .build_networks import VIEW_KEYS
from .config import Config
from .data.transforms import Compose, NormalizeImage, build_transforms
from .errors import InputError, located
from .registry import check_arguments
from .teachers.own_view import Normalisation, OwnView

Place = tuple[str, ...]         # of `transform_ops` in a config


def view_in_training(config: Config, size: int | None = None) -> OwnView | None:
    """What a teacher of a training sees, when it teaches and when it is measured; arguments as of `build_own_view`."""
    modes = ("Train", "Eval") if has_evaluation(config) else ("Train",)
    return build_own_view(config, [("DataLoader", mode, "dataset", "transform_ops") for mode in modes], size)


def build_own_view(config: Config, seen: Sequence[Place], size: int | None = None) -> OwnView | None:
    """The keys size, interpolation, mean and std of Arch.teacher, whatever its source; None where they change nothing.

    What a key does not say, or says with null, is as the run's images have it: the teacher sees them as they are.

    Args:
        config: of a run.
        seen: the `transform_ops` of all images that the teacher will be asked about.
        size: of the teacher's images where the keys do not say, pixels.

    Raises:
        InputError: keys out of range, or images whose normalisation is not known or not one.
    """
    section, where = config.section("Arch")["teacher"], config.where("Arch", "teacher")
    given = {key: section[key] for key in VIEW_KEYS if section.get(key) is not None}
    check_arguments(_own_view, given, where, injected=["config", "seen"])
    return _own_view(config, seen, **{"size": size, **given})


def _own_view(config: Config, seen: Sequence[Place], size: int | None = None, interpolation: str = "bicubic",
              mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> OwnView | None:
    """As `build_own_view`; the signature is that of the keys."""
    theirs = None if mean is None and std is None else _normalisation_of_all(config, seen)
    with located(config.where("Arch", "teacher")):
        own = theirs and Normalisation(theirs.mean if mean is None else mean, theirs.std if std is None else std)
        own = theirs if theirs and _close(theirs, own) else own
        view = OwnView(theirs, own, size, interpolation)
    if size is None and own == theirs:
        return None
    return replace(view, seen_size=_size(_transforms(config, seen[0])))


def _normalisation_of_all(config: Config, seen: Sequence[Place]) -> Normalisation:
    """That of the run's images."""
    first, *others = [_normalisation(config, place) for place in seen]
    for place, other in zip(seen[1:], others):
        if not _close(first, other):
            raise InputError(f"{config.where(*place)} normalises by {other}, but {config.where(*seen[0])} by {first}. What the "
                             "teacher sees is made of both in the same way. Give both the same NormalizeImage.")
    return first


def _normalisation(config: Config, place: Place) -> Normalisation:
    transforms = _transforms(config, place)
    if not transforms.operators[0].to_rgb:
        raise InputError(f"{config.where(*place)}: DecodeImage gives BGR, but the teacher's mean and std are those of RGB. Set "
                         "to_rgb: true.")
    for operator in transforms.operators:
        if isinstance(operator, NormalizeImage):
            return Normalisation(operator.mean, operator.std)
    raise InputError(f"{config.where(*place)} has no NormalizeImage, so what the student sees cannot be turned into what the "
                     "teacher wants. Add it.")


def _size(transforms: Compose) -> tuple[int, int] | None:
    """Height and width of the images, if an operator gives them a fixed size."""
    sizes = [operator.size for operator in transforms.operators if getattr(operator, "size", None)]
    return sizes[-1][::-1] if sizes else None


def _transforms(config: Config, place: Place) -> Compose:
    ops = config.section(place[0])
    for key in place[1:]:
        ops = (ops or {}).get(key)
    return build_transforms(ops, config.where(*place))


def _close(one: Normalisation, other: Normalisation) -> bool:
    """Equal, but for the rounding of pixels in [0, 255] to [0, 1]."""
    return all(map(math.isclose, (*one.mean, *one.std), (*other.mean, *other.std)))
