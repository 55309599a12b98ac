"""Weight files: read without running code, matched completely or refused."""
from __future__ import annotations

import hashlib
import io
import json
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from dedup.files import atomic_write, sha256_file

from ..errors import InputError
from ..restricted_pickle import Stand, refused, unpickle
from .stages import starts_with

CARD = "checkpoint.json"         # notes the checksums of the files beside it
_PREFIXES = ("Student.", "Teacher.", "student.", "teacher.", "model.", "module.", "_layers.")
_SHOWN = 5
_NAMES = "StructuredToParameterName@@"          # Paddle's own entry in a state dict


def read_state(file: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a `.pdparams` file by name.

    Such files are pickles, and an ordinary unpickler runs whatever code a stranger put inside. This one builds numpy
    arrays, numbers, strings, lists, tuples and dicts, and refuses everything else.

    Args:
        file: the file, its name without `.pdparams`, or the folder of a checkpoint.

    Raises:
        InputError: no such file, not a weight file, truncated, or holding more than tensors.
    """
    file = find_weights(file)
    _check_sum(file)
    try:
        state = unpickle(file.read_bytes(), _CONTAINERS)
    except InputError as error:
        raise InputError(f"{file}: {error} Weight files need only arrays of numbers; this one may have been made to run "
                         "code.") from error
    except Exception as error:          # a broken pickle raises nearly anything
        raise InputError(f"{file} is not a whole weight file ({type(error).__name__}: {error}). Was it cut off while it "
                         "was copied? Expected what paddle.save writes.") from error
    if not isinstance(state, dict):
        raise InputError(f"{file} holds a {type(state).__name__}, not a mapping of names to tensors.")
    tensors = {name: _array(value) for name, value in state.items() if name != _NAMES}
    return {name: value for name, value in tensors.items() if value is not None}


def find_weights(path: str | Path) -> Path:
    """The `.pdparams` file that `path` means: itself, `path.pdparams`, or `student.pdparams` in a checkpoint folder.

    Raises:
        InputError: none of these exists.
    """
    path = Path(path)
    candidates = [path, Path(f"{path}.pdparams"), path / "student.pdparams", path / "best" / "student.pdparams"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(f"there are no weights at '{path}'. Looked for: {', '.join(map(str, candidates))}.")


def _check_sum(file: Path) -> None:
    """Compare a file with the checksum in the card beside it, if there is one.

    Raises:
        InputError: the file was altered or truncated after it was written.
    """
    card = file.parent / CARD
    if card.is_file():
        try:
            expected = dict(json.loads(card.read_text())["sha256"]).get(file.name)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{card}, which notes the checksum of {file.name}, cannot be read: {error!r} Use another "
                             "checkpoint, or remove the card if you trust the file.") from error
        if expected and sha256_file(file) != expected:
            raise InputError(f"{file} ({file.stat().st_size} bytes) was truncated or altered after it was written: its "
                             f"SHA-256 differs from the one in {card.name} beside it. Use another checkpoint.")


def load_weights(network: nn.Layer, file: str | Path, part: str | None = None, new: str | None = None) -> Path:
    """Load all tensors of `network` from a file; anything less than all is an error.

    Args:
        network: receives the weights.
        file: see `read_state`; a checkpoint of a whole distillation run (keys `Student.*`, `Teacher.*`) is understood.
        part: which network of such a checkpoint, "Student" or "Teacher", when both would fit.
        new: sublayer that keeps the weights it has, such as the classifier for another task; the file may hold one of any
            shape, or none.

    Returns:
        The file that was read.

    Raises:
        InputError: tensors missing, of another shape, or left over; or two parts fit and `part` does not say which.
    """
    state, path = read_state(file), find_weights(file)
    target = {name: tensor for name, tensor in network.state_dict().items() if not (new and starts_with(name, new))}
    expected = {name: tuple(tensor.shape) for name, tensor in target.items()}
    state = {name: value for name, value in _select_part(state, expected, path, part).items()
             if not (new and starts_with(name, new))}
    missing = [name for name in expected if name not in state]
    foreign = [name for name in state if name not in expected]
    shapes = [f"{name} is {state[name].shape} in the file, {expected[name]} in the network"
              for name in expected if name in state and tuple(state[name].shape) != expected[name]]
    if missing or shapes or foreign:
        matched = len(expected) - len(missing) - len(shapes)
        raise InputError(
            f"{path} does not fit {type(network).__name__}: {matched} of {len(expected)} tensors match."
            + _listed("\n  only in the network", missing) + _listed("\n  only in the file", foreign)
            + _listed("\n  other shapes", shapes) + "\nCheck the name and class_num of the network, or choose other weights.")
    for name, tensor in target.items():
        tensor.set_value(state[name].astype(tensor.numpy().dtype))
    return path


def fingerprint(state: Mapping) -> str:
    """SHA-256 over names and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()


def save_weights(network: nn.Layer, file: str | Path) -> None:
    """Write the tensors of `network` under their names, as paddle.save and PaddleClas do; whole or not at all."""
    with atomic_write(file, "wb") as out:
        write_state(network.state_dict(), out)


def write_state(state: dict, out) -> None:
    """Write name -> tensor to an open binary file in the `.pdparams` format."""
    buffer = io.BytesIO()
    paddle.save(OrderedDict(state), buffer)
    out.write(buffer.getvalue())


def _select_part(state, expected, path: Path, part: str | None) -> dict[str, np.ndarray]:
    """The tensors of one network when the file holds several under prefixes; else the state unchanged."""
    if set(state) & set(expected) or not state:
        return state
    fitting = {}
    for prefix in _PREFIXES:
        stripped = {name[len(prefix):]: value for name, value in state.items() if name.startswith(prefix)}
        if stripped and set(stripped) & set(expected):
            fitting[prefix] = stripped
    whole = {prefix: value for prefix, value in fitting.items()
             if all(tuple(getattr(value.get(n), "shape", ())) == shape for n, shape in expected.items())}
    fitting = whole or fitting
    if part:
        fitting = {prefix: value for prefix, value in fitting.items() if prefix.lower() == f"{part.lower()}."} or fitting
    if len(fitting) > 1:
        raise InputError(f"{path} holds several networks that fit: {', '.join(fitting)} Say which one is meant with "
                         "pretrained_part: Student (or Teacher).")
    return next(iter(fitting.values()), state)


def _listed(title: str, names: list[str]) -> str:
    more = f", ... {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{title} ({len(names)}): {', '.join(names[:_SHOWN])}{more}" if names else ""


def _array(value) -> np.ndarray | None:
    """An array, also in Paddle's (name, array) form; None for what is no tensor."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
        value = value[1]
    return np.asarray(value) if isinstance(value, np.ndarray) else None


def _paddle_tensor(expression, scope=None):
    """Paddle writes a dense tensor as the call eval("data", {"data": array}); only exactly that has a meaning here."""
    if expression == "data" and isinstance(scope, dict) and isinstance(scope.get("data"), np.ndarray):
        return scope["data"]
    raise refused("the evaluation of an expression")


_CONTAINERS = {("collections", "OrderedDict"): OrderedDict, ("builtins", "tuple"): tuple, ("builtins", "set"): set,
               ("builtins", "eval"): Stand(_paddle_tensor)}
