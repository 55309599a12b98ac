"""Batches from a cache are those of the images."""
from typing import NamedTuple

import numpy as np
import pytest

from ssld.data.dataset import ManifestDataset, Visit
from ssld.data.loader import StepSampler
from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.train.cached_data import CachedDataset, CachedLoader
from ssld.train.row_cache import Rows


class Cache(NamedTuple):
    """Rows that are there already: row i holds i."""

    count: int
    unreadable: tuple

    def rows(self) -> Rows:
        return Rows({"features": np.arange(self.count, dtype=np.float32)[:, None]}, np.array(self.unreadable, np.int64))


def dataset(count=8, unreadable=()):
    images = ManifestDataset(Manifest(".", [f"{i}.jpg" for i in range(count)], np.arange(count) * 10), None)
    return CachedDataset(images, Cache(count, unreadable), {"features": "image"})


def test_a_sample_has_row_label_and_index_of_its_image():
    sample = dataset()[Visit(3, 5)]
    assert (sample["image"].tolist(), sample["label"], sample["index"], sample["unreadable"]) == ([3.0], 30, 3, -1)
    assert (sample["image"].dtype, sample["label"].dtype, sample["index"].dtype) == (np.float32, np.int64, np.int64)


def test_the_next_readable_row_stands_in_for_an_unreadable_one_round_the_end():
    samples = dataset(8, (2, 3, 7)).samples([1, 2, 3, 7])
    assert samples["index"].tolist() == [1, 4, 4, 0] and samples["label"].tolist() == [10, 40, 40, 0]
    assert samples["image"][:, 0].tolist() == [1, 4, 4, 0] and samples["unreadable"].tolist() == [-1, 2, 3, 7]


def test_a_list_without_a_readable_image_is_refused():
    with pytest.raises(InputError, match="none of the images"):
        dataset(2, (0, 1))[Visit(0, 0)]


def test_batches_are_those_that_the_sampler_plans_from_any_step_on():
    sampler = StepSampler(8, 3, seed=4)
    batches = list(CachedLoader(dataset(), sampler).batches(1, 5))
    assert len(batches) == 4
    for step, batch in enumerate(batches, 1):
        rows = [visit.row for visit in sampler.visits(step)]
        assert batch["index"].tolist() == rows == batch["image"].astype("int64")[:, 0].tolist()


def test_no_row_is_asked_for_when_there_is_no_step_to_do():
    class Forbidden:
        def rows(self):
            raise AssertionError("nothing to compute for")

    images = dataset()
    images.cache = Forbidden()
    assert list(CachedLoader(images, StepSampler(8, 3)).batches(4, 4)) == []
