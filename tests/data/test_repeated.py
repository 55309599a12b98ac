"""Repeated augmentation against the rule of its places, and in a run's loader."""
from __future__ import annotations

import numpy as np
import pytest

from ssld.data.dataset import ImageNetDataset
from ssld.data.loader import Loader, StepSampler
from ssld.data.repeated import RASampler
from ssld.errors import InputError


def by_the_rule(order, rank, world, repeats):
    """All rows that a process sees in a pass, written as the rule says: repeat, deal out, keep the first ones."""
    repeated = np.repeat(order, repeats)
    return repeated[rank::world][:int(np.floor(len(order) // 256 * 256 / world))].tolist()


def seen(sampler, pass_):
    first = pass_ * sampler.steps_per_pass
    return [visit for step in range(first, first + sampler.steps_per_pass) for visit in sampler.visits(step)]


@pytest.mark.parametrize("size", [256, 600, 1023])
@pytest.mark.parametrize("world, repeats", [(1, 3), (2, 3), (3, 3), (4, 3), (8, 3), (4, 2), (5, 1)])
def test_rows_are_those_of_the_rule(size, world, repeats):
    for pass_ in (0, 2):
        order = StepSampler(size, 1, seed=5)._order(pass_)
        for rank in range(world):
            sampler = RASampler(size, 16, repeats, seed=5, rank=rank, world=world)
            expected = by_the_rule(order, rank, world, repeats)
            whole = len(expected) // 16 * 16
            assert sampler.steps_per_pass == whole // 16
            visits = seen(sampler, pass_)
            assert [visit.row for visit in visits] == expected[:whole] and {visit.pass_ for visit in visits} == {pass_}
            assert sampler.rows(pass_, 1) == expected[16:32]


def test_a_pass_over_imagenet_on_eight_processes_has_the_published_length():
    sampler = RASampler(1_281_167, 256, world=8, rank=3)
    assert sampler.places == 160_128 and sampler.steps_per_pass == 625 and sampler.global_batch == 2048
    assert sampler.size == 1_281_167


def test_every_image_of_a_pass_has_its_copies_numbered_and_none_comes_twice():
    samplers = [RASampler(1024, 32, rank=rank, world=4, seed=1) for rank in range(4)]
    visits = [visit for sampler in samplers for visit in seen(sampler, 0)]
    assert len(visits) == len(set(visits)) == 1024 and {visit.copy for visit in visits} == {0, 1, 2}
    rows = [visit.row for visit in visits]
    assert len(set(rows)) == 342 and sum(rows.count(row) == 3 for row in set(rows)) == 341       # 1024 = 341 x 3 + 1


@pytest.mark.parametrize("world", [3, 4, 8])
def test_with_enough_processes_no_batch_of_one_holds_an_image_twice(world, capsys):
    for rank in range(world):
        sampler = RASampler(1024, 32, rank=rank, world=world)
        for step in range(sampler.steps_per_pass):
            rows = [visit.row for visit in sampler.visits(step)]
            assert len(set(rows)) == len(rows)
    assert capsys.readouterr().err == ""


def test_on_one_process_a_batch_holds_copies_and_stderr_says_so(capsys):
    sampler = RASampler(512, 30)
    assert len({visit.row for visit in sampler.visits(0)}) == 10
    assert "with fewer than 3 processes (here 1) several of these times in one batch" in capsys.readouterr().err


def test_the_processes_together_see_the_same_visits_per_step_as_one():
    one = RASampler(1024, 32, seed=3)
    four = [RASampler(1024, 8, seed=3, rank=rank, world=4) for rank in range(4)]
    assert one.steps_per_pass == four[0].steps_per_pass
    for step in (0, 1, 31, 32, 70):
        assert sorted(one.visits(step)) == sorted(visit for sampler in four for visit in sampler.visits(step))


def test_any_step_can_be_asked_for_without_those_before():
    sampler = RASampler(512, 16, seed=1, world=4)
    everything = [sampler.visits(step) for step in range(3 * sampler.steps_per_pass)]
    for step in (23, 0, 9):
        assert RASampler(512, 16, seed=1, world=4).visits(step) == everything[step]
    assert RASampler(512, 16, seed=2, world=4).visits(0) != everything[0]
    assert {visit.row for visit in everything[0]} != {visit.row for visit in everything[sampler.steps_per_pass]}


def test_an_incomplete_batch_is_dropped_or_filled_from_the_first_places():
    dropped, filled = (RASampler(256, 100, world=1, shuffle=False, drop_last=drop_last) for drop_last in (True, False))
    assert (dropped.steps_per_pass, filled.steps_per_pass) == (2, 3)
    assert filled.visits(2)[56:] == filled.visits(0)[:44]
    assert [visit.row for visit in filled.visits(2)[:3]] == [66, 67, 67]


def test_without_repeats_it_is_the_ordinary_order():
    ordinary, repeated = StepSampler(512, 16, seed=2), RASampler(512, 16, repeats=1, seed=2)
    assert [ordinary.visits(step) for step in range(70)] == [repeated.visits(step) for step in range(70)]


def test_copies_of_an_image_are_augmented_differently(tmp_path, make_list):
    listed = make_list(tmp_path, "train", 4)
    listed.write_text("".join(f"train/{row % 4}.jpg {row % 4}\n" for row in range(256)))
    ops = ["DecodeImage", {"RandomResizedCrop": {"size": 8}}, "RandAugment", "NormalizeImage", "ToCHWImage"]
    dataset = ImageNetDataset(str(tmp_path), str(listed), ops, check_files=False, seed=4)
    sampler = RASampler(256, 12, shuffle=False, seed=4)
    batch, again = (next(iter(Loader(dataset, sampler, 0).batches(0, 1))) for _ in range(2))
    assert batch["index"].numpy().tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    images = batch["image"].numpy()
    assert len({image.tobytes() for image in images}) == 12
    np.testing.assert_array_equal(images, again["image"].numpy())


@pytest.mark.parametrize("options, message", [
    ({"size": 255}, "a multiple of 256 images in a pass, but the list has 255"),
    ({"repeats": 0}, "repeats must be a whole number of at least 1"), ({"batch_size": 0}, "batch_size must be"),
    ({"batch_size": 300}, "fewer than one batch of 300")])
def test_what_makes_no_pass_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        RASampler(**{"size": 256, "batch_size": 8, **options})
