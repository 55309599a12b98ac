"""How much memory the tensors of a run take that are there all the time."""
from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from paddle import Tensor, nn


class Memory(NamedTuple):
    """Bytes of one part of a run.

    Attributes:
        weights: parameters, statistics and other stored tensors.
        gradients: of what trains.
        optimizer: what the optimizer remembers of that.
        average: the moving average of weights.
    """

    weights: int = 0
    gradients: int = 0
    optimizer: int = 0
    average: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(*map(sum, zip(self, other)))

    @property
    def total(self) -> int:
        """All of it, bytes."""
        return sum(self)


def memory_of(network: nn.Layer, remembered: int = 0, averaged: bool = False) -> Memory:
    """The memory of a network; of a frozen one it is that of its weights.

    Args:
        network: whose parameters that have a gradient train.
        remembered: tensors that the optimizer keeps of each of these, see ssld.optim.optimizers.REMEMBERED.
        averaged: whether a moving average of its state is kept.
    """
    trained = _bytes(parameter for parameter in network.parameters() if not parameter.stop_gradient)
    weights = _bytes([*network.parameters(), *network.buffers()])
    return Memory(weights, trained, remembered * trained, _bytes(network.state_dict().values()) if averaged else 0)


def memory_of_run(student: nn.Layer, methods: Iterable[nn.Layer], teacher: nn.Layer | None, remembered: int,
                  averaged: bool) -> dict[str, Memory]:
    """The memory of the networks of a run and of methods that bring layers, by name.

    Args:
        student: trains.
        methods: of which a class may occur several times; they train along.
        teacher: the frozen network; None where there is none.
        remembered, averaged: see `memory_of`; only the student is averaged.
    """
    found = {"student": memory_of(student, remembered, averaged)}
    for method in methods:
        if method.state_dict():
            name = type(method).__name__
            found[name] = found.get(name, Memory()) + memory_of(method, remembered)
    return found if teacher is None else {**found, "teacher": memory_of(teacher)}


def in_words(count: int) -> str:
    """A number of bytes as people say it."""
    if not count:
        return "-"
    return f"{count / 2 ** 30:.2f} GiB" if count >= 2 ** 30 else f"{count / 2 ** 20:.1f} MiB"


def _bytes(tensors) -> int:
    different: dict[int, Tensor] = {id(tensor): tensor for tensor in tensors}           # some are known by two names
    return sum(tensor.size * tensor.element_size() for tensor in different.values())
