"""Labels are the teachers' answers to the crops, whoever reads, and wherever a run was interrupted."""
import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.softlabels.crops import draw_crops
from ssld.softlabels.store import Store

HALF = 2e-3                     # a logarithm in half precision, relative


def checksums(store: Store) -> list[str]:
    return [entry["sha256"] for entry in store.meta["shards"]]


def test_a_label_is_what_the_teacher_says_of_that_crop_of_that_picture(workshop, tmp_path):
    store = workshop.store(tmp_path)
    for row, name in enumerate(store.images.path):
        records = store.records(row)
        np.testing.assert_allclose(store.codec.dense(records), workshop.expected(name, 6), rtol=HALF, atol=1e-5, err_msg=name)
        crops, expected = store.codec.crops(records), draw_crops(7, name, store.images.width[row], store.images.height[row], 6)
        np.testing.assert_array_equal(crops.box, expected.box)
        np.testing.assert_array_equal(crops.flip, expected.flip)


def test_pictures_are_as_their_file_has_them_not_turned_upright(workshop, tmp_path):
    images = workshop.store(tmp_path).images
    assert (images.width[2], images.height[2]) == (64, 48) and images.path[2] == "turned.jpg"


def test_several_teachers_give_the_mean_of_their_whole_distributions_each_in_its_own_view(workshop, tmp_path):
    seeds, sizes = (1, 2, 4), (32, 24, 32)
    ensemble = workshop.ensemble(seeds, sizes)
    assert [view.size for view in ensemble.views] == [32, 24]
    labels = workshop.store(tmp_path, workshop.labeller(ensemble=ensemble))
    for row in (0, 2):
        name = labels.images.path[row]
        np.testing.assert_allclose(labels.codec.dense(labels.records(row)), workshop.expected(name, 6, seeds, sizes), rtol=HALF,
                                   atol=1e-5)


def test_the_most_probable_classes_are_those_of_the_mean_not_the_mean_of_truncated_labels(workshop, tmp_path):
    seeds, sizes = (1, 2), (32, 24)
    ensemble = workshop.ensemble(seeds, sizes)
    store = workshop.store(tmp_path, workshop.labeller(ensemble=ensemble, kind="marginal_smoothing", k=2))
    expected = workshop.expected("wide.png", 6, seeds, sizes)
    ids, kept = store.codec.top(store.records(0))
    np.testing.assert_array_equal(ids, np.argsort(-expected, 1)[:, :2])
    np.testing.assert_allclose(kept, -np.sort(-expected, 1)[:, :2], atol=2e-5)


def test_the_temperature_divides_the_logits(workshop, tmp_path):
    store = workshop.store(tmp_path, workshop.labeller(ensemble=workshop.ensemble(temperature=4.0)))
    expected = workshop.expected("wide.png", 6, temperature=4.0)
    np.testing.assert_allclose(store.codec.dense(store.records(0)), expected, rtol=HALF)
    assert np.abs(expected - workshop.expected("wide.png", 6)).max() > 0.05


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_the_number_of_reading_processes_changes_no_byte(workshop, tmp_path, num_workers):
    one = workshop.store(tmp_path / "one")
    assert checksums(workshop.store(tmp_path / "many", workshop.labeller(num_workers=num_workers))) == checksums(one)


@pytest.mark.parametrize("crops, batch_size", [(6, 4), (2, 5), (3, 3)])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_run_that_was_interrupted_anywhere_ends_with_the_same_bytes(workshop, tmp_path, monkeypatch, crops, batch_size, stop):
    whole = workshop.store(tmp_path / "whole", workshop.labeller(crops=crops, batch_size=batch_size))
    monkeypatch.setattr("ssld.train.row_files._NOTED_EVERY_S", 0.0)            # every append is on disk
    interrupted = workshop.labeller(crops=crops, batch_size=batch_size)
    interrupted.ensemble = StopsAfter(interrupted.ensemble, stop * interrupted.grouping.batches)
    with pytest.raises(KeyboardInterrupt):
        workshop.store(tmp_path / "again", interrupted)
    rest = workshop.labeller(crops=crops, batch_size=batch_size)
    rest.ensemble = StopsAfter(rest.ensemble, 1000)
    assert checksums(workshop.store(tmp_path / "again", rest)) == checksums(whole)
    groups = rest.grouping.passes(len(workshop.images), 3) // rest.grouping.batches
    assert 1000 - rest.ensemble.left == (groups - stop) * rest.grouping.batches             # nothing is asked twice


class StopsAfter:
    """Teachers that a user interrupts after some batches."""

    def __init__(self, ensemble, left):
        self.ensemble, self.left = ensemble, left

    def __getattr__(self, name):
        return getattr(self.ensemble, name)

    def ask_about(self, pixels):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return self.ensemble.ask_about(pixels)


def test_a_batch_size_that_changes_how_images_share_batches_changes_labels_by_rounding_only(workshop, tmp_path):
    one, other = (workshop.store(tmp_path / str(size), workshop.labeller(batch_size=size)) for size in (4, 12))
    for row in range(len(one.images.path)):
        np.testing.assert_array_equal(one.records(row)["box"], other.records(row)["box"])
        labels = [store.codec.dense(store.records(row)) for store in (one, other)]
        np.testing.assert_allclose(*labels, rtol=HALF, atol=1e-6)


def test_an_unreadable_image_is_counted_and_changes_nothing_for_its_neighbours(workshop, tmp_path, capfd):
    whole = workshop.store(tmp_path / "whole", workshop.labeller(batch_size=12))
    for name in workshop.images.path:
        (tmp_path / name).write_bytes((workshop.folder / name).read_bytes() if name != "high.png" else b"no picture")
    (tmp_path / "square.png").unlink()
    images = Manifest(tmp_path, workshop.images.path, workshop.images.label)
    store = workshop.store(tmp_path / "spoilt", workshop.labeller(images, batch_size=12), max_bad_fraction=0.3)
    assert store.images.readable.tolist() == [True, False, True, False, True, True, True]
    assert store.images.width[1] == store.images.height[3] == 0 and not store.records(1).view(np.uint8).any()
    for row in np.flatnonzero(store.images.readable).tolist():
        np.testing.assert_array_equal(store.records(row), whole.records(row))
    assert "warning: high.png cannot be read; it has no labels" in capfd.readouterr().err


def test_more_unreadable_images_than_allowed_are_an_error_that_names_them(workshop, tmp_path):
    (tmp_path / "wide.png").write_bytes((workshop.folder / "wide.png").read_bytes())
    images = Manifest(tmp_path, ["wide.png", "gone.png"], [0, 0])
    with pytest.raises(InputError, match=r"1 of 2 images cannot be read, more than max_bad_fraction 0.4 allows:\n  gone.png"):
        workshop.store(tmp_path / "out", workshop.labeller(images), max_bad_fraction=0.4)
    with pytest.raises(InputError, match="not finished"):
        Store(tmp_path / "out")


def test_unreadable_images_of_an_earlier_run_count_when_it_goes_on(workshop, tmp_path, monkeypatch):
    (tmp_path / "wide.png").write_bytes((workshop.folder / "wide.png").read_bytes())
    images = Manifest(tmp_path, ["gone.png", "wide.png", "wide.png", "gone too.png"], [0] * 4)
    monkeypatch.setattr("ssld.train.row_files._NOTED_EVERY_S", 0.0)
    for _ in range(2):
        with pytest.raises(InputError, match="2 of 4 images cannot be read"):
            workshop.store(tmp_path / "out", workshop.labeller(images), shard_images=4, max_bad_fraction=0.25)


def test_an_answer_that_is_not_finite_is_an_error_that_names_the_image(workshop, tmp_path):
    ensemble = workshop.ensemble()
    ensemble.members[0][0].network.fc.bias.set_value(np.array([0, 1, np.nan, 0], np.float32))
    with pytest.raises(InputError, match="the teacher's answer for wide.png or its neighbours is not finite"):
        workshop.store(tmp_path, workshop.labeller(ensemble=ensemble))


def test_an_image_that_a_record_cannot_hold_is_refused_by_its_name(workshop, tmp_path):
    from PIL import Image
    Image.new("RGB", (40_000, 2)).save(tmp_path / "panorama.png")
    with pytest.raises(InputError, match="panorama.png has 40000 x 2 pixels"):
        workshop.store(tmp_path / "out", workshop.labeller(Manifest(tmp_path, ["panorama.png"], [0])))
