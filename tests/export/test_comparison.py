"""What a comparison calls equal, and on which images."""
from __future__ import annotations

import numpy as np
import pytest

from ssld.data.dataset import ManifestDataset
from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.export.comparison import check_equal, compare, in_batches, sample_images

LOGITS = np.array([[2.0, 1.0, -4.0], [0.5, 0.1, 0.2]], np.float32)


class Pictures(ManifestDataset):
    """Row i is a picture of the value i."""

    def __init__(self, sizes):
        super().__init__(Manifest("", [f"{row}.png" for row in range(len(sizes))], np.zeros(len(sizes))), None)
        self.sizes = sizes

    def _sample(self, visit, rng):
        return {"image": np.full((3, *self.sizes[visit.row]), visit.row, np.float32)}


def test_the_difference_is_relative_to_the_largest_logit():
    found = LOGITS + np.array([[0, 0, 0], [0, 0.08, 0]], np.float32)
    assert compare(LOGITS, found).difference == pytest.approx(0.02) and compare(LOGITS, found).same_top1 == 1.0
    assert compare(LOGITS, LOGITS[::-1]).same_top1 == 1.0
    assert compare(LOGITS, -LOGITS).same_top1 == 0.0


def test_rounding_is_equal_and_more_is_not():
    assert check_equal("it", LOGITS, LOGITS + 3e-4).difference < 1e-4
    for found in (LOGITS + 5e-4, LOGITS * np.nan):
        with pytest.raises(InputError, match="it differs from the network by .* of the largest logit, more than 0.0001"):
            check_equal("it", LOGITS, found)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 70])
def test_batches_are_bounded_and_nothing_is_lost(count):
    sizes = []
    images = np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1)
    found = in_batches(lambda batch: sizes.append(len(batch)) or batch.reshape(len(batch), 1), images)
    np.testing.assert_array_equal(found.ravel(), np.arange(count))
    assert max(sizes) <= 32


def test_images_come_from_all_over_the_list():
    images = sample_images(Pictures([(4, 6)] * 101), 5)
    assert images.shape == (5, 3, 4, 6) and images[:, 0, 0, 0].tolist() == [0, 25, 50, 75, 100]
    assert len(sample_images(Pictures([(2, 2)] * 3), 5)) == 3 and len(sample_images(Pictures([(2, 2)]))) == 1


def test_images_of_several_sizes_are_refused():
    with pytest.raises(InputError, match=r"several sizes, such as \(4, 4\) and \(4, 6\). Add ResizeImage and CropImage"):
        sample_images(Pictures([(4, 6), (4, 4)]))
