"""Translated learning rates against Paddle's own schedulers, put together as PaddleClas does."""
from __future__ import annotations

import math

import pytest
import yaml
from paddle.optimizer import lr

from ssld.build import build_schedule
from ssld.config import Config
from ssld.errors import InputError
from ssld.timetable import Timetable

EPOCHS, STEPS = 10, 7


@pytest.fixture
def rates(v2):
    """The rate of each step that a translated Optimizer.lr gives."""
    def rates(**options) -> list[float]:
        data = v2(f"Global.epochs: {EPOCHS}", f"Optimizer.lr: {yaml.safe_dump(options, default_flow_style=True)}").data
        schedule = build_schedule(Config(data, "old.yaml"), Timetable.uniform(EPOCHS, STEPS))
        return [schedule(step) for step in range(EPOCHS * STEPS)]
    return rates


def stepped(scheduler, warmup: int, base: float, every: int = 1) -> list[float]:
    """The rates of a scheduler behind a linear warm-up, which moves once in `every` steps."""
    if warmup:
        scheduler = lr.LinearWarmup(scheduler, warmup, 0.0, base)
    found = []
    for step in range(EPOCHS * STEPS):
        if step and step % every == 0:
            scheduler.step()
        found.append(scheduler())
    return found


@pytest.mark.parametrize("warmup", [0, 2])
@pytest.mark.parametrize("by_epoch", [False, True])
def test_every_schedule_gives_the_rates_of_paddleclas(rates, warmup, by_epoch):
    every, unit = (STEPS, 1) if by_epoch else (1, STEPS)        # steps between two moves; moves an epoch
    span = (EPOCHS - warmup) * unit
    expected = {
        "Cosine": (lr.CosineAnnealingDecay(0.4, span, 0.01), {"eta_min": 0.01}),
        "Linear": (lr.PolynomialDecay(0.4, span, 0.01, 1.0), {"end_lr": 0.01, "power": 1.0}),
        "Piecewise": (lr.PiecewiseDecay([3 * unit, 5 * unit], [0.4, 0.1, 0.02]), {"decay_epochs": [3, 5],
                                                                              "values": [0.4, 0.1, 0.02]}),
        "MultiStepDecay": (lr.MultiStepDecay(0.4, [3 * unit, 5 * unit], 0.1), {"milestones": [3, 5], "gamma": 0.1,
                                                                           "step_each_epoch": 1}),
        "Step": (lr.StepDecay(0.4, 3 * unit, 0.5), {"step_size": 3, "gamma": 0.5})}
    for name, (scheduler, options) in expected.items():
        found = rates(name=name, learning_rate=0.4, warmup_epoch=warmup, by_epoch=by_epoch, **options)
        assert found == pytest.approx(stepped(scheduler, warmup * unit, 0.4, every), rel=1e-6, abs=1e-9), name


def test_a_constant_rate_has_two_names(rates):
    assert set(rates(name="ConstLR", learning_rate=0.3)) == set(rates(name="Constant", learning_rate=0.3)) == {0.3}


def test_the_shift_of_the_milestones_is_said(v2, said):
    change = "Optimizer.lr: {name: MultiStepDecay, learning_rate: 0.2, milestones: [30, 60], gamma: 0.1, warmup_epoch: %d}"
    assert "5 more each" in said(v2(change % 5)) and "more each" not in said(v2(change % 0))
    assert v2(change % 5).data["Optimizer"]["lr"] == {"name": "Piecewise", "learning_rate": [0.2, 0.02, 0.002],
                                                      "decay_epochs": [35, 65], "warmup_epoch": 5}


@pytest.mark.parametrize("options, message", [
    ("{name: Piecewise, decay_epochs: [3], learning_rate: 0.1}", "needs 'values'"),
    ("{name: Piecewise, decay_epochs: 3, values: [1, 2]}", "decay_epochs must be a list of numbers, not 3"),
    ("{name: MultiStepDecay, learning_rate: 0.1}", "milestones must be a list of numbers, not None"),
    ("{name: MultiStepDecay, learning_rate: fast, milestones: [1]}", "learning_rate must be a number above 0, not 'fast'"),
    ("{name: Step, learning_rate: 0.1}", "step_size must be a number above 0"),
    ("{name: Linear, learning_rate: 0.1, power: 2.0}", "power: 2.0 is not supported"),
    ("{name: Linear, learning_rate: 0.1, cycle: true}", "cycle: True is not supported"),
    ("{name: Cosine, learning_rate: 0.1, last_epoch: 4}", "last_epoch: 4 is not supported"),
    ("{name: [Cosine]}", "Optimizer.lr.name must be text"), ("0.1", "Optimizer.lr must hold 'key: value' settings")])
def test_a_rate_that_cannot_be_translated_is_refused(v2, options, message):
    with pytest.raises(InputError, match=rf"^old.yaml: Optimizer.lr.*{message}|^old.yaml: {message}"):
        v2(f"Optimizer.lr: {options}")


def test_the_rates_of_1x_are_those_of_its_formulas(v1):
    def found(function, **params):
        changes = [f"LEARNING_RATE: {yaml.safe_dump({'function': function, 'params': params}, default_flow_style=True)}"]
        schedule = build_schedule(Config(v1(*changes).data, "old.yaml"), Timetable.uniform(EPOCHS, STEPS))
        return [schedule(step) for step in range(EPOCHS * STEPS)]

    def cosine(step, warmup):
        if step < warmup * STEPS:
            return 0.4 * step / (warmup * STEPS)
        return 0.4 * (math.cos(math.pi * (step - warmup * STEPS) / ((EPOCHS - warmup) * STEPS)) + 1) / 2

    steps = range(EPOCHS * STEPS)
    assert found("CosineWarmup", lr=0.4) == pytest.approx([cosine(step, 5) for step in steps])
    assert found("CosineWarmup", lr=0.4, warmup_epoch=2) == pytest.approx([cosine(step, 2) for step in steps])
    assert found("Cosine", lr=0.4) == pytest.approx([cosine(step, 0) for step in steps])
    assert found("Piecewise", lr=0.4, decay_epochs=[3, 6], gamma=0.5) == pytest.approx(
        [0.4 * 0.5 ** ((step >= 3 * STEPS) + (step >= 6 * STEPS)) for step in steps])
