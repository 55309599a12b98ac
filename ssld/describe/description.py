"""The description of a run, as a table and as JSON."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Optional

from ..methods.base import Cost
from .memory import Memory, in_words


@dataclass(frozen=True)
class Part:
    """A row of the table: a network or a component of a method.

    Attributes:
        role: student, teacher, or the method that it belongs to.
        name: of the network or the component.
        parameters, multiply_adds: see ssld.methods.base.Cost; None where it is not known.
    """

    role: str
    name: str
    parameters: Optional[int] = None
    multiply_adds: Optional[int] = None


@dataclass(frozen=True)
class Description:
    """What a run will take.

    Attributes:
        config: file.
        size: height and width of an image, pixels.
        parts: student, teacher and what methods bring.
        batch: images (of FKD crops) in a step: per_process, processes, update_freq, total.
        steps: images, epochs, timetable, total; without the number of images, epochs alone.
        learning_rate: at its highest; where the steps are known also of the first and the last one.
        memory: part -> its bytes.
        remarks: what else should be known.
    """

    config: str
    size: tuple[int, int]
    parts: Sequence[Part]
    batch: Mapping[str, int]
    steps: Mapping
    learning_rate: Mapping[str, float]
    memory: Mapping[str, Memory]
    remarks: Sequence[str] = field(default_factory=tuple)

    @property
    def training_only(self) -> Cost:
        """What methods take together; components that are not known count as 0."""
        parts = [part for part in self.parts if part.role not in ("student", "teacher")]
        return Cost(sum(part.parameters or 0 for part in parts), sum(part.multiply_adds or 0 for part in parts))

    def as_dict(self) -> dict:
        """Plain values under the names of the attributes; memory in bytes, with the total of each part."""
        memory = {name: {**each._asdict(), "total": each.total} for name, each in self.memory.items()}
        return {**asdict(self), "parts": [asdict(part) for part in self.parts], "memory": memory,
                "training_only": asdict(self.training_only)}

    def text(self) -> str:
        """The table that `ssld describe` prints."""
        width = max(len(f"{part.role} {part.name}") for part in self.parts) + 2
        lines = [f"{self.config}: images of {self.size[0]} x {self.size[1]} pixels", "",
                 f"{'':{width}}{'parameters':>14}{'multiply-adds':>16}   of one image, forward"]
        lines += [_row(f"{part.role} {part.name}", part.parameters, part.multiply_adds, width) for part in self.parts]
        if len([part for part in self.parts if part.role not in ("student", "teacher")]) > 1:
            together = self.training_only
            lines.append(_row("training only, together", together.parameters, together.multiply_adds, width))
        return "\n".join([*lines, "", *self._schedule(), "", *self._memory(), *(f"\n{each}" for each in self.remarks)])

    def _schedule(self) -> list[str]:
        batch, steps, rate = self.batch, self.steps, self.learning_rate
        ends = f", from {rate['first']:.3g}, to {rate['last']:.3g} at the end" if "first" in rate else ""
        seen = f"{steps['total']:,} ({steps['timetable']}), {steps['images']:,} images" if "total" in steps else "not known"
        return [f"batch          {batch['total']:,} = {batch['per_process']} x {batch['processes']} processes"
                f" x update_freq {batch['update_freq']}",
                f"steps          {seen}; {steps['epochs']} epochs", f"learning rate  {rate['highest']:g}{ends}"]

    def _memory(self) -> list[str]:
        width = max(map(len, [*self.memory, "together"])) + 2
        head = "".join(f"{name:>12}" for name in (*Memory._fields, "together"))
        rows = {**self.memory, "together": sum(self.memory.values(), Memory())}
        return [f"{'memory':{width}}{head}",
                *(f"{name:{width}}" + "".join(f"{in_words(each):>12}" for each in (*memory, memory.total))
                  for name, memory in rows.items()),
                "Features and other results of a step come on top, and what kernels need for themselves."]


def _row(name: str, parameters: int | None, multiply_adds: int | None, width: int) -> str:
    return f"{name:{width}}{_scaled(parameters, 1e6, 'M'):>14}{_scaled(multiply_adds, 1e9, 'G'):>16}"


def _scaled(value: int | None, unit: float, letter: str) -> str:
    return "not counted" if value is None else "-" if value == 0 else f"{value / unit:,.2f} {letter}"
