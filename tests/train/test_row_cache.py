"""Rows are computed once, whole or absent, and only taken for what they are."""
import json
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest

from ssld.data.dataset import ImageNetDataset
from ssld.errors import InputError
from ssld.train import row_cache, row_files
from ssld.train.row_cache import RowCache

MADE_OF = {"the student": "a1", "the list of images": "b2"}


class Means:
    """Mean colour and largest value of each image; counts images, and may be interrupted."""

    name = "means"

    def __init__(self, stop_after=None):
        self.seen, self.stop_after = 0, stop_after

    def __call__(self, image):
        if self.stop_after is not None and self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(image)
        return {"mean": image.numpy().mean((2, 3)), "top": image.numpy().max((1, 2, 3))[:, None]}


@pytest.fixture
def cache(tmp_path, make_list, monkeypatch):
    """cache(compute, made_of) of 23 images, in shards of 10, noted after each batch of 4."""
    monkeypatch.setattr(row_files, "_SHARD", 10)
    monkeypatch.setattr(row_files, "_NOTED_EVERY_S", 0)
    make_list(tmp_path, "train", 23)

    def cache(compute, made_of=MADE_OF, max_bad_fraction=0.1):
        dataset = ImageNetDataset(str(tmp_path), str(tmp_path / "train.txt"), ["DecodeImage", "NormalizeImage", "ToCHWImage"],
                                  max_bad_fraction=max_bad_fraction)
        return RowCache(tmp_path / "cache", dataset, made_of, {"mean": 3, "top": 1}, lambda: compute, 4)
    return cache


def expected(cache, row):
    return cache.dataset.transform(cache.dataset.manifest.file(row), None).mean((1, 2))


def left(folder) -> dict:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_each_row_is_that_of_its_image_and_is_computed_once(cache):
    compute = Means()
    whole = cache(compute)
    rows = whole.rows()
    assert rows.arrays["mean"].shape == (23, 3) and rows.arrays["top"].shape == (23, 1) and not len(rows.unreadable)
    for row in (0, 9, 10, 22):
        np.testing.assert_allclose(rows.arrays["mean"][row], expected(whole, row), rtol=1e-6)
    whole.rows()
    cache(compute).rows()
    assert compute.seen == 23
    assert sorted(left(whole.folder)) == ["card.json", "mean.npy", "top.npy"]


@pytest.mark.parametrize("noted_every_s", [0, 1e9])
@pytest.mark.parametrize("stop", [0, 4, 8, 14, 20])
def test_an_interrupted_cache_goes_on_and_ends_with_the_same_bytes(cache, tmp_path, monkeypatch, stop, noted_every_s):
    cache(Means()).rows()
    whole = left(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(row_files, "_NOTED_EVERY_S", noted_every_s)
    with pytest.raises(KeyboardInterrupt):
        cache(Means(stop)).rows()
    assert not (tmp_path / "cache").exists()
    rest = Means()
    cache(rest).rows()
    assert rest.seen == 23 - (stop if noted_every_s == 0 else stop // 10 * 10)
    assert left(tmp_path / "cache") == whole


def test_one_that_was_begun_with_other_things_is_begun_anew(cache):
    with pytest.raises(KeyboardInterrupt):
        cache(Means(12)).rows()
    other = Means()
    cache(other, {**MADE_OF, "the student": "c3"}).rows()
    assert other.seen == 23


@pytest.mark.parametrize("change", ["the student", "the list of images"])
def test_a_stale_one_is_computed_again_with_a_sentence(cache, capsys, change):
    cache(Means()).rows()
    again = Means()
    cache(again, {**MADE_OF, change: "other"}).rows()
    assert again.seen == 23 and f"cache: {change} changed since it was made; it is computed again" in capsys.readouterr().out


@pytest.mark.parametrize("damage, message", [
    (lambda folder: os.truncate(folder / "mean.npy", 23 * 4 * 3 + 127), "mean.npy is missing or cut off"),
    (lambda folder: (folder / "top.npy").unlink(), "top.npy is missing or cut off"),
    (lambda folder: (folder / "card.json").unlink(), "card.json cannot be read"),
    (lambda folder: (folder / "card.json").write_text("{}"), "card.json cannot be read"),
    (lambda folder: (folder / "card.json").write_text('{"made'), "card.json cannot be read")])
def test_a_damaged_one_is_computed_again(cache, tmp_path, capsys, damage, message):
    cache(Means()).rows()
    damage(tmp_path / "cache")
    again = Means()
    assert cache(again).rows().arrays["top"].shape == (23, 1)
    assert again.seen == 23 and message in capsys.readouterr().out


def test_an_unreadable_row_holds_nothing_and_is_on_the_card(cache, tmp_path):
    for row in (3, 22):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(b"no picture")
    rows = cache(Means()).rows()
    np.testing.assert_array_equal(rows.unreadable, [3, 22])
    assert np.isnan(rows.arrays["mean"][[3, 22]]).all() and np.isfinite(np.delete(rows.arrays["mean"], [3, 22], 0)).all()
    assert json.loads((tmp_path / "cache" / "card.json").read_text())["unreadable"] == [3, 22]


def test_too_many_unreadable_rows_are_an_error_and_nothing_is_taken_for_whole(cache, tmp_path):
    for row in (3, 12, 22):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match="3 of 23 images cannot be read"):
        cache(Means()).rows()
    assert not (tmp_path / "cache").exists()


def test_those_that_an_interrupted_run_met_count_too(cache, tmp_path):
    for row in (1, 2, 22):
        (tmp_path / "train" / f"{row}.jpg").write_bytes(b"no picture")
    with pytest.raises(KeyboardInterrupt):
        cache(Means(12)).rows()
    with pytest.raises(InputError, match="3 of 23 images cannot be read"):
        cache(Means()).rows()


def test_a_disk_without_enough_space_is_refused_with_the_bytes_before_anything_is_computed(cache, monkeypatch):
    monkeypatch.setattr(row_files.shutil, "disk_usage", lambda path: namedtuple("Usage", "free")(100))
    compute = Means()
    with pytest.raises(InputError, match="needs 368 bytes for 23 images, but only 100 are free"):
        cache(compute).rows()
    assert compute.seen == 0


def test_a_disk_that_fills_up_later_keeps_what_is_computed(cache, monkeypatch):
    original, calls = row_files.os.fsync, []

    def fsync(handle):
        if os.readlink(f"/proc/self/fd/{handle}").endswith(".npy"):
            calls.append(handle)
        if len(calls) == 7:             # two arrays after each batch
            raise OSError(28, "No space left on device")
        original(handle)

    monkeypatch.setattr(row_files.os, "fsync", fsync)
    with pytest.raises(InputError, match="No space left on device.*368 bytes"):
        cache(Means()).rows()
    monkeypatch.setattr(row_files.os, "fsync", original)
    rest = Means()
    cache(rest).rows()
    assert rest.seen == 23 - 10         # the batches of 4, 4 and 2 images were on disk


def test_an_answer_that_is_not_finite_is_refused_with_its_image(cache):
    class Broken(Means):
        def __call__(self, image):
            return {name: value * np.float32("nan" if self.seen > 8 else 1) for name, value in super().__call__(image).items()}

    with pytest.raises(InputError, match=r"mean of .*train\.txt:9 \(train/8\.jpg\) or of its neighbours is not finite"):
        cache(Broken()).rows()


def test_a_row_of_another_width_is_refused(cache):
    class Wide(Means):
        def __call__(self, image):
            return {**super().__call__(image), "top": np.zeros((len(image), 2), np.float32)}

    with pytest.raises(InputError, match=r"top has the shape \[4, 2\] for 4 images, expected \[4, 1\]"):
        cache(Wide()).rows()


def test_size_progress_and_what_is_there_are_told(cache, capsys):
    with pytest.raises(KeyboardInterrupt):
        cache(Means(12)).rows()
    cache(Means()).rows()
    said = capsys.readouterr().out
    assert "computing mean of width 3 and top of width 1 once for the 23 images of" in said and "3.68e-07 GB" in said
    assert "14 are there" in said               # batches of 4, 4, 2 and 4
    assert "image 23/23  0:00:00 left" in said


def test_two_processes_fill_it_with_what_one_would(cache, tmp_path, monkeypatch):
    (tmp_path / "train" / "12.jpg").write_bytes(b"no picture")
    cache(Means()).rows()
    whole = left(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(row_cache, "world_size", lambda: 2)
    computes = Means(), Means()
    cache(computes[0])._claim()
    for rank in (1, 0):
        monkeypatch.setattr(row_cache, "rank", lambda number=rank: number)
        cache(computes[rank])._fill()
    cache(computes[0])._finish()
    assert left(tmp_path / "cache") == whole
    assert [compute.seen for compute in computes] == [13, 10]


def test_a_process_that_does_not_see_the_folder_says_so(cache):
    with pytest.raises(InputError, match="must be on a disk that all processes see"):
        cache(Means())._fill()
