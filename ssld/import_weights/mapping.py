"""From the names of one network's tensors to those of another: every tensor has its place, or the file is refused."""
from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from paddle import nn

from ..errors import InputError
from .families import family_of

_HEADS = ("fc", "head", "head.fc", "heads.head", "head.layers.head", "classifier", "classifier.2")
_RENAMED = {"running_mean": "_mean", "running_var": "_variance"}        # of batch normalisation
_COUNTER = "num_batches_tracked"                                        # of batch normalisation; nothing here reads it
_SHOWN = 5


class Mapped(NamedTuple):
    """A network's state, from a file's tensors.

    Attributes:
        state: name in the network -> array of the network's shape.
        source: name in the network -> name in the file; None where nothing in the file was needed.
        unused: names in the file that a network does not need, such as tables that it computes itself.
    """

    state: dict[str, np.ndarray]
    source: dict[str, str | None]
    unused: list[str]


def class_num_of(tensors: Mapping[str, np.ndarray]) -> int:
    """Number of classes of the network whose tensors these are.

    Raises:
        InputError: it has no classifier under a name that is known.
    """
    for head in _HEADS:
        if f"{head}.weight" in tensors:
            return int(tensors[f"{head}.weight"].shape[0])
    raise InputError(f"there is no classifier: expected one of {', '.join(f'{head}.weight' for head in _HEADS)}. A teacher "
                     "needs one; weights without it were saved for feature extraction.")


def map_onto(network: nn.Layer, tensors: Mapping[str, np.ndarray]) -> Mapped:
    """The state of `network` from the tensors of the same architecture in timm, torchvision or its authors' code.

    Matrices of linear layers are transposed, as Paddle keeps them [in, out].

    Args:
        network: of a known family; see `ssld.import_weights.families`.
        tensors: name -> array.

    Raises:
        InputError: tensors missing, left over, or of other shapes; names them, and the nearest ones.
    """
    family, own = family_of(network), network.state_dict()
    places = family.places([name for name in tensors if not name.endswith(f".{_COUNTER}")], network)
    unused = [name for name in tensors if places.get(name, None) is None]
    source = _sources({name: _renamed(place) for name, place in places.items() if place is not None})
    linear = {f"{name}.weight" for name, layer in network.named_sublayers() if isinstance(layer, nn.Linear)}
    state = {place: _laid_out(tensors[name], place in linear, tuple(own[place].shape))
             for place, name in source.items() if place in own}
    for place, value in _computed(family, network, state).items():
        state[place], source[place] = value, None
    _check({name: tuple(tensor.shape) for name, tensor in own.items()}, state, source)
    return Mapped({place: state[place].astype(own[place].numpy().dtype) for place in own}, source, unused)


def _renamed(place: str) -> str:
    head, _, leaf = place.rpartition(".")
    return f"{head}.{_RENAMED[leaf]}" if leaf in _RENAMED else place


def _sources(places: Mapping[str, str]) -> dict[str, str | None]:
    source: dict[str, str | None] = {}
    for name, place in places.items():
        if place in source:
            raise InputError(f"both {source[place]} and {name} would become {place}.")
        source[place] = name
    return source


def _laid_out(array: np.ndarray, is_linear: bool, shape: tuple[int, ...]) -> np.ndarray:
    """An array as the network keeps it; axes of length 1 may differ."""
    if is_linear and array.shape[2:] == (1,) * (array.ndim - 2):           # a convolution of one pixel is linear as well
        array = array.reshape(array.shape[:2]).T
    same = [side for side in array.shape if side != 1] == [side for side in shape if side != 1]
    return array.reshape(shape) if same else array


def _computed(family, network: nn.Layer, state: Mapping) -> dict[str, np.ndarray]:
    """What the network needs and the file need not have: tables of whole numbers, and what the family knows to make."""
    own = {name: tensor.numpy() for name, tensor in network.state_dict().items() if name not in state}
    tables = {name: value for name, value in own.items() if value.dtype.kind == "i"}
    return {**tables, **(family.made(own) if hasattr(family, "made") else {})}


def _check(expected: Mapping[str, tuple], state: Mapping[str, np.ndarray], source: Mapping[str, str | None]) -> None:
    """Raise InputError unless `state` is exactly what is expected."""
    missing = [place for place in expected if place not in state]
    foreign = [source[place] for place in source if place not in expected]
    shapes = [f"{source[place]} {list(array.shape)} for {place} {list(expected[place])}"
              for place, array in state.items() if array.shape != expected[place]]
    if missing or foreign or shapes:
        matched = len(expected) - len(missing) - len(shapes)
        raise InputError(f"{matched} of the network's {len(expected)} tensors are in the file."
                         + _listed("only in the network", missing, foreign) + _listed("only in the file", foreign, missing)
                         + _listed("other shapes", shapes)
                         + "\nChoose the --name of the architecture that the file was made for" + _advice(state, expected))


def _advice(state: Mapping[str, np.ndarray], expected: Mapping[str, tuple]) -> str:
    place = "pos_embed"
    if place in state and state[place].shape != expected[place] and state[place].shape[2] == expected[place][2]:
        side = math.isqrt(state[place].shape[1])
        return f"; its position embedding is that of {side} x {side} patches, so perhaps -o img_size=... is missing."
    return ", or save its state dict anew."


def _listed(title: str, names: list[str], others: Sequence[str] = ()) -> str:
    """A line with the first names, and what is nearest to each among `others`."""
    nearest = [difflib.get_close_matches(name, others, n=1) for name in names[:_SHOWN]]
    shown = [f"{name} (nearest: {close[0]})" if close else name for name, close in zip(names, nearest)]
    more = f", ... {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"\n  {title} ({len(names)}): {', '.join(shown)}{more}" if names else ""
