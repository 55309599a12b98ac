"""Which crops go through a teacher together is a function of the list alone."""
import numpy as np
import pytest

from ssld.softlabels.crop_batches import Batch, CropBatches, Grouping, InBlocks
from ssld.softlabels.views import View


@pytest.mark.parametrize("crops, batch_size, images, batches, size", [
    (500, 50, 1, 10, 50), (60, 50, 1, 2, 30), (64, 50, 1, 2, 32), (4, 50, 12, 1, 48), (50, 50, 1, 1, 50), (1, 1, 1, 1, 1),
    (7, 3, 1, 3, 3)])
def test_crops_of_an_image_or_of_a_few_are_split_evenly(crops, batch_size, images, batches, size):
    grouping = Grouping.of(crops, batch_size)
    assert grouping == (crops, images, batches, size)
    assert size <= batch_size and size * batches >= images * crops > size * (batches - 1)


def test_passes_count_the_rest_of_each_file():
    assert Grouping.of(4, 50).passes(100, 30) == 3 * 3 + 1
    assert Grouping.of(500, 50).passes(7, 4096) == 70


@pytest.mark.parametrize("processes", [0, 1, 2, 3, 5])
def test_every_batch_is_read_once_and_each_group_from_its_first_batch_to_its_last(processes):
    groups = np.arange(0, 14, 2)
    order = InBlocks(groups, 3, processes)
    read = [batch for step in range(order.steps) for batch in order.visits(step)]
    assert sorted(read) == [(first, number) for first in groups for number in range(3)]
    assert [batch.first for batch in read if batch.number == 2] == groups.tolist()          # groups are finished in order
    for first in groups:
        assert [batch.number for batch in read if batch.first == first] == [0, 1, 2]


def test_a_reading_process_takes_whole_images():
    order = InBlocks(np.arange(6), 10, 3)
    for worker in range(3):
        turns = [order.visits(step)[0].first for step in range(worker, order.steps, 3)]
        assert (np.diff(turns) != 0).sum() == 1         # two images, one after the other


@pytest.mark.parametrize("crops, batch_size", [(6, 4), (2, 5), (3, 50)])
def test_the_crops_of_a_group_are_those_of_its_images_in_order_and_then_black(workshop, crops, batch_size):
    grouping, view = Grouping.of(crops, batch_size), View(16)
    rows, source = np.arange(7), workshop.drawn(workshop.images, crops)
    batches = CropBatches(workshop.images, rows, source, grouping, [view])
    for first in range(0, 7, grouping.images):
        samples = [batches[Batch(first, number)] for number in range(grouping.batches)]
        assert all(sample["view0"].shape == (grouping.size, 16, 16, 3) for sample in samples)
        shown = np.concatenate([sample["view0"] for sample in samples])
        expected = [view.cut(np.asarray(batches.decode(workshop.images.file(row), None)),
                             source(row, samples[0]["width"][place], samples[0]["height"][place]))
                    for place, row in enumerate(rows[first:first + grouping.images].tolist())]
        count = sum(map(len, expected))
        np.testing.assert_array_equal(shown[:count], np.concatenate(expected))
        assert not shown[count:].any()


def test_an_image_is_decoded_once_for_all_its_batches(workshop, monkeypatch):
    batches = CropBatches(workshop.images, np.arange(7), workshop.drawn(workshop.images, 9), Grouping.of(9, 3), [View(16)])
    decoded, decode = [], batches.decode
    monkeypatch.setattr(batches, "decode", lambda file, rng: decoded.append(file.name) or decode(file, rng))
    for row in range(2):
        for number in range(3):
            batches[Batch(row, number)]
    assert decoded == ["wide.png", "high.png"]
