from __future__ import annotations

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.softlabels.choice import choose


def test_a_visit_never_shows_a_crop_twice_and_visits_differ():
    seen = [choose("random", 0, 7, epoch, 4, 10).tolist() for epoch in range(0, 200, 4)]
    assert all(len(set(visit)) == 4 and max(visit) < 10 for visit in seen)
    assert len({tuple(visit) for visit in seen}) > 40
    assert np.bincount(np.concatenate(seen), minlength=10).min() > 5


def test_the_covering_policy_shows_each_crop_once_before_any_comes_again():
    seen = np.concatenate([choose("cover", 3, 5, epoch, 4, 12) for epoch in range(0, 24, 4)])
    assert sorted(seen[:12]) == sorted(seen[12:]) == list(range(12)) and seen[:12].tolist() != seen[12:].tolist()


def test_the_covering_policy_does_not_depend_on_how_many_are_taken_at_a_time():
    by_four = np.concatenate([choose("cover", 1, 2, epoch, 4, 10) for epoch in range(0, 16, 4)])
    one_by_one = np.concatenate([choose("cover", 1, 2, epoch, 1, 10) for epoch in range(16)])
    np.testing.assert_array_equal(by_four, one_by_one)


@pytest.mark.parametrize("policy", ["random", "cover"])
def test_images_and_seeds_have_orders_of_their_own_that_repeat(policy):
    one = choose(policy, 0, 1, 8, 6, 50)
    np.testing.assert_array_equal(one, choose(policy, 0, 1, 8, 6, 50))
    assert one.tolist() != choose(policy, 0, 2, 8, 6, 50).tolist() and one.tolist() != choose(policy, 1, 1, 8, 6, 50).tolist()


@pytest.mark.parametrize("policy", ["random", "cover"])
def test_an_image_with_fewer_crops_than_a_visit_shows_repeats_them(policy):
    assert sorted(choose(policy, 0, 0, 0, 4, 2)) == [0, 0, 1, 1]


def test_drawing_at_random_leaves_crops_out_as_the_formula_says():
    shown = [np.concatenate([choose("random", 0, image, epoch, 4, 500) for epoch in range(0, 296, 4)]) for image in range(40)]
    assert np.mean([len(set(crops)) for crops in shown]) == pytest.approx(500 * (1 - (1 - 4 / 500) ** 74), rel=0.02)


def test_an_unknown_policy_is_refused():
    with pytest.raises(InputError, match="policy cannot be 'covr'. Did you mean 'cover'"):
        choose("covr", 0, 0, 0, 4, 10)
