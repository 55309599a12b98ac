"""The card of an exported student: what it is, where it came from, and what was measured on the exported files themselves."""
from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Optional

from dedup.files import sha256_file, write_json

from ..errors import InputError

CARD = "card.json"
_AGAIN = "Export the student again with this version: ssld export."


@dataclass(frozen=True)
class Card:
    """What card.json says.

    Attributes:
        ssld: version that wrote it.
        backbone: name of the network.
        arch: name, class_num and options of the network, as in Arch.student.
        class_num: width of the logits.
        tensors, parameters: tensors of the network's state, and numbers in its parameters.
        source: "weights" (file), "sha256" (of that file), "config" (of the run), "lists" ({"train": {"file", "sha256",
            "images"}, "eval": ...}; null where a list is not there any more).
        sha256: file of the folder -> digest.
        weights: weight file -> {"tensors": how many it holds, "dropped": names of the network's that it does not}.
        input: [3, height, width] of the images that the static models take, pixels; None where there are none.
        preprocess: transform_ops of the evaluation, a list of one-key mappings; None where nothing says.
        class_names: a name for each class, or None.
        engine: what runs the static model rightly on a CPU: onednn_fp32, or native (Paddle's own kernels); None without one.
        images_compared: how many images of the evaluation list the next two are about.
        difference: exported model -> largest difference of a logit to the network's own, relative to the largest logit.
        same_top1: exported model -> share of images that get the same class as from the network, in [0, 1].
        accuracy: exported model -> what was measured on the whole evaluation list, see `ssld.train.evaluate.Evaluation`.
    """

    ssld: str
    backbone: str
    arch: Mapping
    class_num: int
    tensors: int
    parameters: int
    source: Mapping
    sha256: Mapping
    weights: Mapping = field(default_factory=dict)
    input: Optional[list] = None
    preprocess: Optional[list] = None
    class_names: Optional[list] = None
    engine: Optional[str] = None
    images_compared: int = 0
    difference: Mapping = field(default_factory=dict)
    same_top1: Mapping = field(default_factory=dict)
    accuracy: Mapping = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of the input, pixels."""
        return tuple(self.input[1:]) if self.input else None


def write_card(folder: str | Path, card: Card) -> None:
    """Write card.json beside the files that it describes."""
    write_json(Path(folder) / CARD, asdict(card))


def read_card(folder: str | Path, files: Iterable[str] | None = None) -> Card:
    """The card of an exported student, its files compared with the checksums on it.

    Args:
        folder: of `ssld export` or `ssld export-transfer`.
        files: names of those that will be used; default: all.

    Raises:
        InputError: no card, not whole, of another kind or of an earlier version; a file that is not on it, is missing, or was
            altered after it was written.
    """
    folder = Path(folder)
    card = _parse(folder / CARD)
    for name in card.sha256 if files is None else files:
        _check_file(folder, card, name)
    return card


def _parse(file: Path) -> Card:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{file.parent} holds no exported student: {CARD} cannot be read ({error.strerror or error}). Give a "
                         "folder that `ssld export` wrote.") from error
    except ValueError as error:
        raise InputError(f"{file} is no whole card ({error}). Was it cut off while it was copied? {_AGAIN}") from error
    if not isinstance(content, dict) or not {"backbone", "sha256", "source"} <= content.keys():
        raise InputError(f"{file} is not the card of an exported student. Give a folder that `ssld export` wrote.")
    known, needed = {each.name for each in fields(Card)}, ("ssld", "arch", "class_num", "tensors", "parameters")
    lacking = [name for name in needed if name not in content]
    if lacking or content.keys() - known:
        odd = ", ".join([f"{name} is missing" for name in lacking] + [f"unknown: {name}" for name in content.keys() - known])
        raise InputError(f"{file} is of another version of ssld, {content.get('ssld', 'unknown')} ({odd}). {_AGAIN}")
    return _checked(Card(**content), file)


def _checked(card: Card, file: Path) -> Card:
    """Refuse values that the readers of a card could not use."""
    mappings = (card.arch, card.source, card.sha256, card.weights, card.difference, card.same_top1, card.accuracy)
    names, size = card.class_names, card.input
    right = (all(isinstance(value, Mapping) for value in mappings) and isinstance(card.class_num, int)
             and (names is None or (isinstance(names, list) and len(names) == card.class_num))
             and (size is None or (isinstance(size, list) and len(size) == 3 and all(isinstance(n, int) for n in size)))
             and (card.preprocess is None or isinstance(card.preprocess, list)))
    if not right:
        raise InputError(f"{file} was altered after it was written: its values do not fit together. {_AGAIN}")
    return card


def _check_file(folder: Path, card: Card, name: str) -> None:
    if name not in card.sha256:
        raise InputError(f"{folder / name} is not on the card beside it, which names: {', '.join(card.sha256)}. Export the "
                         "student with it: ssld export --also.")
    if not (folder / name).is_file():
        raise InputError(f"{folder / name} is missing, though {CARD} names it. Export the student again.")
    if sha256_file(folder / name) != card.sha256[name]:
        raise InputError(f"{folder / name} ({(folder / name).stat().st_size} bytes) was truncated or altered after it was "
                         f"written: its SHA-256 differs from the one on {CARD}. Export the student again.")
