"""A second teacher may label the crops of another store."""
import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.softlabels.crop_sources import StoredCrops


@pytest.fixture(scope="module")
def store(workshop, tmp_path_factory):
    return workshop.store(tmp_path_factory.mktemp("first"))


def test_boxes_and_flips_are_taken_over_in_the_order_of_the_new_list(workshop, store, tmp_path):
    images = workshop.images.take(np.array([4, 0, 2]))
    labeller = workshop.labeller(images, crops=4, kind="hard", ensemble=workshop.ensemble((2,), (24,)),
                                 crops_of=StoredCrops(store, images, 4))
    second = workshop.store(tmp_path, labeller)
    for row, other in enumerate([4, 0, 2]):
        np.testing.assert_array_equal(second.records(row)["box"], store.records(other)["box"][:4])
    assert second.seed == 7 and second.meta["boxes_of"] == {"store": str(store.folder), "sha256": store.sha256}
    assert (second.meta["scale"], second.meta["ratio"]) == (store.meta["scale"], store.meta["ratio"]) == (
        [0.08, 1.0], [3 / 4, 4 / 3])


def test_more_crops_than_there_are_are_refused(workshop, store):
    with pytest.raises(InputError, match="has 6 crops of each image, fewer than the 7 wanted"):
        StoredCrops(store, workshop.images, 7)


def test_images_that_the_store_does_not_know_are_refused(workshop, store):
    with pytest.raises(InputError, match=r"lacks 1 of the 2 images(.|\n)*new.png"):
        StoredCrops(store, Manifest(workshop.folder, ["wide.png", "new.png"], [0, 0]), 6)


def test_a_picture_of_another_size_is_refused(workshop, store):
    with pytest.raises(InputError, match="wide.png has 61 x 40 pixels, but had 60 x 40 when"):
        StoredCrops(store, workshop.images, 6)(0, 61, 40)


def test_an_image_that_has_no_crops_is_refused(workshop, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "wide.png").write_bytes((workshop.folder / "wide.png").read_bytes())
    images = Manifest(tmp_path / "images", ["wide.png", "later.png"], [0, 0])
    first = workshop.store(tmp_path / "first", workshop.labeller(images), max_bad_fraction=0.5)
    source = StoredCrops(first, images, 6)
    with pytest.raises(InputError, match="later.png could not be read when .* was made"):
        source(1, 60, 40)
