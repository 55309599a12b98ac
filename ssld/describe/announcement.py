"""What a distiller takes besides the student while it trains, in the lines with which a run begins."""
from __future__ import annotations

from collections.abc import Mapping

from ..distiller import Distiller
from ..methods.base import Cost
from .count import parameter_count
from .memory import in_words, memory_of


def announcement(model: Distiller) -> list[str]:
    """Lines about the extra layers of the methods and about the teacher; [] where no method has anything to say.

    Args:
        model: with its methods attached.
    """
    lines = [line for name, method in zip(model.names, model.methods) for line in _of_method(name, method, method.cost())]
    network = getattr(model.teacher, "network", None)
    if lines and network is not None:
        again = "" if model.teacher.is_eager else ", and again in the program that answers for it"
        lines.append(f"teacher: {parameter_count(network) / 1e6:.2f} M parameters, {in_words(memory_of(network).weights)}, in "
                     f"memory once{again}")
    return lines


def total_cost(parts: Mapping[str, Cost]) -> Cost:
    """The sum of all components."""
    return sum(parts.values(), Cost(0, 0))


def _of_method(name: str, method, parts: Mapping[str, Cost]) -> list[str]:
    if not parts:
        return []
    return [f"{name} adds in training: {_figures(total_cost(parts))}; {in_words(memory_of(method).weights)} of weights, as "
            "much of gradients and for each average that the optimizer keeps",
            *(f"  {part}: {_figures(cost)}" for part, cost in parts.items())]


def _figures(cost: Cost) -> str:
    return f"{cost.parameters / 1e6:.2f} M parameters, {cost.multiply_adds / 1e9:.3f} G multiply-adds per image"
