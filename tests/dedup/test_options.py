import dataclasses

import pytest

from dedup.errors import InputError
from dedup.options import Options


def test_defaults_are_accepted_and_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Options().min_inliers = 3


@pytest.mark.parametrize("name, value", [
    ("min_agreement", 1.5), ("candidates", 0), ("max_distance", -0.1), ("t_auto", 2), ("size", 10)])
def test_a_value_out_of_range_is_refused_by_name(name, value):
    with pytest.raises(InputError, match=f"{name} must lie in .*, got {value}"):
        Options(**{name: value})
