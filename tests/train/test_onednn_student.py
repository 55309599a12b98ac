"""Whole runs with a student whose convolutions train through oneDNN: Arch.student.engine."""
from __future__ import annotations

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

OPTIONS = {"Global": {"epochs": 2, "save_steps": 2}, "EMA": {"decay": 0.5}}


def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(tiny, run, stop_at, assert_same_run):
    tiny["Arch"]["student"]["engine"] = "onednn"
    whole = run("whole", **OPTIONS)
    stop_at(5)
    with pytest.raises(KeyboardInterrupt):
        run("cut", **OPTIONS)
    stop_at(None)
    assert_same_run(run("cut", **OPTIONS), whole)


def test_losses_weights_averages_and_accuracy_are_those_of_an_eager_run(tiny, run):
    # at 0.05 the runs agree to 5e-7 for four steps; then a sum within rounding of 0 meets a ReLU, whose gradient jumps
    tiny["Optimizer"]["lr"]["learning_rate"] = 0.02
    eager = run("eager", **OPTIONS)
    tiny["Arch"]["student"]["engine"] = "onednn"
    fast = run("fast", **OPTIONS)
    expected, found = (latest_checkpoint(folder) for folder in (eager, fast))
    states = [checkpoint.training_state() for checkpoint in (expected, found)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_allclose(states[1][name], value, rtol=1e-4, atol=1e-4, err_msg=name)
    losses = [[e["loss"] for e in read_events(folder) if e["event"] == "train"] for folder in (eager, fast)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    assert losses[0] != losses[1] and expected.card["best"] == found.card["best"]       # float32 rounding, no more


def test_an_unknown_engine_of_the_student_is_refused(tiny, run):
    tiny["Arch"]["student"]["engine"] = "onedn"
    with pytest.raises(InputError, match=r"Arch\.student: engine cannot be 'onedn'. Did you mean 'onednn'"):
        run()
