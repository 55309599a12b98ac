from __future__ import annotations

import pytest

from ssld.checks import below_one, fraction, not_negative, numbers, one_of, positive, positive_int
from ssld.errors import InputError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("check, good, bad", [
    (positive, [1, 0.5, 1e-9], [0, -1, NAN, INF, "1", True, None]),
    (not_negative, [0, 0.0, 3], [-1e-9, NAN, INF, "0", False, None]),
    (below_one, [0, 0.5, 0.9999], [1, 1.0, -0.1, NAN, True, "0.5", None]),
    (positive_int, [1, 7], [0, -1, 1.0, True, "3"]),
    (fraction, [0, 1, 0.5], [-0.1, 1.1, NAN, True, "0.5"]),
    (numbers, [[1, 2.5], (3,), []], [1, "12", [True], ["1"], None]),
])
def test_good_values_come_back_and_bad_ones_are_named(check, good, bad):
    for value in good:
        assert check("size", value) == (list(value) if check is numbers else value)
    for value in bad:
        with pytest.raises(InputError, match="^size must"):
            check("size", value)


def test_numbers_counts_them():
    assert numbers("mean", (1, 2, 3), 3) == [1, 2, 3]
    with pytest.raises(InputError, match=r"mean must be a list of 3 numbers, not \[1, 2\]"):
        numbers("mean", [1, 2], 3)


def test_one_of_returns_what_stands_behind_a_name():
    assert one_of("form", "a", ("a", "b")) == "a" and one_of("form", "a", {"a": 7}) == 7
    with pytest.raises(InputError, match="form cannot be 'aple'. Did you mean 'apple'?"):
        one_of("form", "aple", ("apple", "pear"))
