from __future__ import annotations

import math
import random

import pytest

from ssld.compare.noise import holm, paired, t_quantile, t_share


@pytest.mark.parametrize("freedom, quantile", [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (9, 2.2622),
                                               (10, 2.2281), (30, 2.0423), (120, 1.9799)])
def test_quantiles_are_those_of_the_printed_tables(freedom, quantile):
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=6e-5)


@pytest.mark.parametrize("freedom, density_at_0", [(1, 1 / math.pi), (2, 1 / math.sqrt(8)), (3, 2 / (math.pi * math.sqrt(3))),
                                                   (4, 0.375)])
@pytest.mark.parametrize("t", [0.3, 1.0, 4.5])
def test_shares_are_the_integral_of_the_density(freedom, density_at_0, t):
    steps = 4000
    heights = [density_at_0 * (1 + (i * t / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    integral = t / steps * (sum(heights) - (heights[0] + heights[-1]) / 2)
    assert t_share(t, freedom) == pytest.approx(0.5 + integral, abs=1e-7)


def test_the_ends_of_the_distribution():
    assert t_share(0, 2) == 0.5 and t_share(math.inf, 2) == 1 and t_share(math.inf, 3) == 1


def test_three_seeds_give_the_paired_interval():
    found = paired([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert found.mean == 2 and found.deviation == 1
    assert found.interval == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert found.p == pytest.approx(1 - math.sqrt(12) / math.sqrt(2 + 12))          # closed form of two degrees of freedom
    assert not found.beyond_noise                                                   # 4.48 wide: 3 seeds are few
    assert paired([-2.0, -2.1, -1.9]).beyond_noise and paired([2.0, 2.1, 1.9]).beyond_noise


def test_the_interval_leaves_0_out_exactly_where_p_is_below_one_in_twenty():
    for spread in (0.05, 0.2, 0.39, 0.41, 1.0, 5.0):
        found = paired([1 - spread, 1.0, 1 + spread])
        assert found.beyond_noise == (found.p < 0.05)


def test_one_seed_claims_nothing():
    found = paired([5.0])
    assert found.mean == 5 and (found.deviation, found.interval, found.p) == (None, None, None) and not found.beyond_noise


def test_differences_that_are_all_the_same_do_not_divide_by_0():
    assert paired([0.0, 0.0, 0.0]).p == 1 and not paired([0.0, 0.0, 0.0]).beyond_noise
    assert paired([1.0, 1.0, 1.0]).p == 0 and paired([1.0, 1.0, 1.0]).beyond_noise


def test_holm_demands_more_of_the_smallest_the_more_there_are():
    assert holm([0.04]) == [True]
    assert holm([0.04, 0.5]) == [False, False]
    assert holm([0.04, 0.02]) == [True, True]                   # 0.02 <= 0.05 / 2, then 0.04 <= 0.05
    assert holm([0.011, 0.3, 0.02, 0.012]) == [True, False, True, True]
    assert holm([0.013, 0.001, 0.03, 0.04]) == [True, True, False, False]       # 0.03 > 0.05 / 2, and what follows it
    assert holm([]) == []


def test_chance_alone_exceeds_the_noise_about_once_in_twenty():
    numbers = random.Random(0)
    exceeding = sum(paired([numbers.gauss(0, 1) for _ in range(3)]).beyond_noise for _ in range(4000)) / 4000
    assert 0.035 < exceeding < 0.065
