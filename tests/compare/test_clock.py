from __future__ import annotations

import pytest

from ssld.compare.clock import _ClockedLoader, _Through


class Batches:
    """Ten numbered batches."""

    image_size = 32

    def batches(self, first, last):
        yield from range(first, last)


def test_the_clocks_are_read_after_the_warm_up_and_after_the_steps():
    loader, seen = _ClockedLoader(Batches(), 2, 5), []
    with pytest.raises(_Through):
        for batch in loader.batches(0, 10):
            seen.append((batch, len(loader.marks)))
    assert [batch for batch, _ in seen] == list(range(7))                       # of which five are between the readings
    assert [marks for _, marks in seen] == [0, 0, 1, 1, 1, 1, 1] and len(loader.marks) == 2
    assert loader.marks[0] <= loader.marks[1] and loader.image_size == 32


def test_a_run_that_is_over_before_leaves_one_reading():
    loader = _ClockedLoader(Batches(), 2, 5)
    assert list(loader.batches(0, 7)) == list(range(7)) and len(loader.marks) == 1
