"""Learning rates of old files. Their warm-up comes first, and the schedule counts its epochs from the end of it."""
from __future__ import annotations

from ..checks import not_negative, numbers, positive
from ..errors import InputError
from .section import Section


def translate_lr(lr: Section, epochs: int) -> dict:
    """Optimizer.lr of 2.x in the native form.

    Args:
        lr: the section.
        epochs: length of the run.
    """
    lr.only("last_epoch", (-1,), "a run that is resumed goes on from its own checkpoint in output_dir.")
    lr.drop("counted from the list and from Global", "step_each_epoch", "epochs")
    lr.drop("prints only", "verbose")
    name = lr.text("name", "Cosine")
    return {"name": name, **lr.rest()} if name not in _TRANSLATED else _TRANSLATED[name](lr, epochs)


def piecewise(lr: Section, rates: list[float], boundaries: list[float]) -> dict:
    """The native schedule of constant rates; `boundaries` count from the end of the warm-up, in epochs."""
    warmup = not_negative(f"{lr.where}.warmup_epoch", lr.take("warmup_epoch", 0))
    if warmup:
        lr.translation.change(f"decay_epochs are counted from the start of the run, in PaddleClas from the end of the "
                              f"warm-up: {warmup} more each.")
    native = {"name": "Piecewise", "learning_rate": rates, "decay_epochs": [epoch + warmup for epoch in boundaries]}
    return {**native, **({"warmup_epoch": warmup} if warmup else {}), **lr.rest()}


def falling(base: float, gamma: float, count: int) -> list[float]:
    """base, base * gamma, base * gamma^2, ...: `count` values without the noise of the last digits."""
    return [float(f"{base * gamma ** power:.12g}") for power in range(count)]


def _piecewise(lr: Section, epochs: int) -> dict:
    values = lr.take("values")
    if values is None:
        raise InputError(f"{lr.where} needs 'values', the rates between the decay_epochs.")
    values = numbers(f"{lr.where}.values", values)
    lr.drop("Piecewise goes by its values", "learning_rate")
    lr.translation.rename(Optimizer__lr__values="Optimizer.lr.learning_rate")
    return piecewise(lr, values, numbers(f"{lr.where}.decay_epochs", lr.take("decay_epochs")))


def _multi_step(lr: Section, epochs: int) -> dict:
    milestones = numbers(f"{lr.where}.milestones", lr.take("milestones"))
    lr.translation.rename(Optimizer__lr__milestones="Optimizer.lr.decay_epochs")
    return piecewise(lr, falling(*_base_and_gamma(lr), len(milestones) + 1), milestones)


def _step(lr: Section, epochs: int) -> dict:
    size = positive(f"{lr.where}.step_size", lr.take("step_size"))
    boundaries = [size * step for step in range(1, int(epochs / size) + 1) if size * step < epochs]
    return piecewise(lr, falling(*_base_and_gamma(lr), len(boundaries) + 1), boundaries)


def _base_and_gamma(lr: Section) -> tuple[float, float]:
    return (positive(f"{lr.where}.learning_rate", lr.take("learning_rate")),
            positive(f"{lr.where}.gamma", lr.take("gamma", 0.1)))


def _linear(lr: Section, epochs: int) -> dict:
    lr.only("power", (1,), "the rate falls in a straight line here.")
    lr.only("cycle", (False,), "the rate falls once.")
    return {"name": "Linear", **lr.rest()}


def _constant(lr: Section, epochs: int) -> dict:
    return {"name": "ConstLR", **lr.rest()}


_TRANSLATED = {"Piecewise": _piecewise, "MultiStepDecay": _multi_step, "Step": _step, "Linear": _linear,
               "Constant": _constant}
