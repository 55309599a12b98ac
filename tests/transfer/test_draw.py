from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from ssld.transfer.draw import draw, promoted
from ssld.transfer.space import Range, Setting

pytest.importorskip("optuna")
LISTS = {"multipliers": ["ones", "half"], "learning_rate": [0.01, 0.1, 1.0], "l2": [None]}
RANGES = {**LISTS, "learning_rate": Range(0.001, 1.0), "l2": [1e-5, 1e-4]}


@pytest.mark.parametrize("count", [1, 4, 6])
def test_lists_are_drawn_without_repetition_and_as_a_whole_they_are_the_grid(count):
    drawn = draw(LISTS, count, seed=3)
    grid = {Setting(*values) for values in itertools.product(*LISTS.values())}
    assert len(set(drawn)) == count and set(drawn) <= grid
    assert count < 6 or set(drawn) == grid


def test_the_seed_decides_what_is_drawn():
    assert draw(LISTS, 6, 3) == draw(LISTS, 6, 3) and draw(RANGES, 5, 3) == draw(RANGES, 5, 3)
    assert draw(RANGES, 5, 3) != draw(RANGES, 5, 4)
    assert any(draw(LISTS, 6, 3) != draw(LISTS, 6, seed) for seed in range(4, 8))


def test_a_range_is_drawn_from_evenly_on_a_logarithmic_scale():
    rates = np.log10([setting.learning_rate for setting in draw(RANGES, 300, 0)])
    assert rates.min() >= -3 and rates.max() <= 0
    assert np.histogram(rates, 3, (-3, 0))[0].min() > 70       # 100 are expected, with a standard deviation of 8


def test_later_rounds_draw_near_what_did_well():
    good = [(Setting("half", 0.3 + 0.01 * place, 1e-4), {1: 0.8, 3: 0.9}) for place in range(6)]
    poor = [(Setting("ones", 0.002 + 0.0001 * place, 1e-5), {1: 0.1}) for place in range(6)]
    drawn = draw(RANGES, 20, 0, 1, good + poor)
    assert drawn == draw(RANGES, 20, 0, 1, good + poor)
    assert np.median([setting.learning_rate for setting in drawn]) > 0.05
    assert sum(setting.multipliers == "half" for setting in drawn) > 10


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 20])
def test_the_best_share_goes_on_in_whatever_order_they_come(count, eta):
    accuracies = np.random.default_rng(count).permutation(count) / count
    kept = max(count // eta, 1)
    least = sorted(accuracies)[-kept]
    assert promoted(accuracies.tolist(), eta) == [bool(value >= least) for value in accuracies]
    order = np.random.default_rng(1).permutation(count)
    assert promoted(accuracies[order].tolist(), eta) == np.array(promoted(accuracies.tolist(), eta))[order].tolist()


def test_equal_trials_share_a_fate():
    assert promoted([0.5, 0.5, 0.5, 0.4], 3) == [True, True, True, False]


def test_a_trial_that_has_no_accuracy_does_not_go_on():
    assert promoted([math.nan, 0.2, 0.1], 3) == [False, True, False]
