"""From a file of another framework to a `.pdparams` file of ours: what `ssld import-weights` does."""
from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from dedup.files import sha256_file, write_json

from ..errors import InputError, located
from ..models.weights import CARD, save_weights
from ..models.zoo import build_network
from .mapping import Mapped, class_num_of, map_onto
from .reading import read_tensors


def import_weights(file: str | Path, name: str, out: str | Path, class_num: int | None = None, options: Mapping | None = None,
                   part: str | None = None) -> tuple[Mapped, dict]:
    """Write a network's weights, read from a safetensors file or a file of `torch.save`.

    Beside `out`, checkpoint.json notes its checksum and where it came from.

    Args:
        file: see `ssld.import_weights.reading`.
        name: of the backbone of ours, see `ssld list backbones`.
        out: the `.pdparams` file to write.
        class_num: what the file's classifier must have; None: whatever it has.
        options: of the backbone's constructor, such as img_size.
        part: see `ssld.import_weights.reading`.

    Returns:
        What was mapped, and what a config says of the network: name, class_num, options, pretrained.

    Raises:
        InputError: unknown network, a file that cannot be read, or tensors that do not fit completely.
    """
    tensors, options = read_tensors(file, part), dict(options or {})
    with located(str(file)):
        found = class_num_of(tensors)
        if class_num not in (None, found):
            raise InputError(f"its classifier has {found} classes, not {class_num}. Leave --class-num out, or choose other "
                             "weights.")
    network = build_network(name, found, "--name", **options)
    with located(f"{file} does not fit {name}"):
        mapped = map_onto(network, tensors)
    for place, tensor in network.state_dict().items():
        tensor.set_value(mapped.state[place])
    _write(network, Path(out), {"file": str(file), "sha256": sha256_file(file), "part": part, "name": name,
                                "class_num": found, "options": options})
    return mapped, {"name": name, "class_num": found, **options, "pretrained": str(out)}


def table(mapped: Mapped) -> str:
    """One line for each tensor of the network, then a summary."""
    rows = [(mapped.source[place] or "-", place, "x".join(map(str, array.shape))) for place, array in mapped.state.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{theirs:<{widths[0]}}  {ours:<{widths[1]}}  {shape:>{widths[2]}}" for theirs, ours, shape in rows]
    made = sum(source is None for source in mapped.source.values())
    return "\n".join([*lines, f"{len(rows) - made} tensors mapped, {made} made by the network itself (-), "
                      f"{len(mapped.unused)} of the file not needed" + _examples(mapped.unused)])


def _examples(names: list[str]) -> str:
    leaves = sorted({name.rsplit(".", 1)[-1] for name in names})
    return f" ({', '.join(leaves)})" if leaves else ""


def _write(network, out: Path, origin: dict) -> None:
    """The weights, and their checksum in the card beside them; no moment has a card that contradicts its file."""
    card = _card(out.parent / CARD)
    sums, imported = dict(card.get("sha256") or {}), dict(card.get("imported") or {})
    if sums.pop(out.name, None):
        write_json(out.parent / CARD, {**card, "sha256": sums})
    save_weights(network, out)
    write_json(out.parent / CARD, {**card, "imported": {**imported, out.name: origin},
                                   "sha256": {**sums, out.name: sha256_file(out)}})


def _card(file: Path) -> dict:
    """What the card says of other files of the folder.

    Raises:
        InputError: it is that of a training checkpoint, or cannot be read.
    """
    if not file.is_file():
        return {}
    try:
        card = json.loads(file.read_text())
        step = card.get("step")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read ({error}). Choose another folder for --out.") from error
    if step is not None:
        raise InputError(f"{file.parent} is a checkpoint of a training run. Choose another folder for --out.")
    return card
