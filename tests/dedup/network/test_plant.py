import cv2
import numpy as np
import pytest

from dedup import ImageError, Options, ReferenceIndex
from dedup.network.plant import EDITS, digest_of, edited, plant


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_depends_on_seed_edit_and_name_only(photo, edit):
    image = photo(0)
    first = edited(image, edit, 7, "a.jpg")
    edited(image, "noise", 7, "b.jpg")
    np.testing.assert_array_equal(edited(image, edit, 7, "a.jpg"), first)
    np.testing.assert_array_equal(image, photo(0))
    assert first.dtype == np.uint8 and first.ndim == 3 and first.shape[2] == 3
    assert first.shape != image.shape or (first != image).any()


@pytest.mark.parametrize("edit", ["crop50", "noise", "text", "border", "perspective", "combo_hard"])
def test_random_edits_differ_between_seeds_and_names(photo, edit):
    copies = [edited(photo(0), edit, seed, name) for seed, name in ((0, "a"), (1, "a"), (0, "b"))]
    assert all(a.shape != b.shape or (a != b).any() for a, b in zip(copies, copies[1:] + copies[:1]))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (5, 7)])
@pytest.mark.parametrize("edit", EDITS)
def test_pictures_of_a_few_pixels_survive_every_edit(edit, shape):
    copy = edited(np.full((*shape, 3), 90, np.uint8), edit, 0, "a.jpg")
    assert min(copy.shape[:2]) >= 1 and copy.shape[2] == 3


@pytest.mark.parametrize("edit, height, width", [("resize50", 120, 160), ("thumb128", 96, 128), ("aspect", 240, 224),
                                                 ("border", 336, 416), ("rot90", 320, 240), ("perspective", 240, 320)])
def test_sizes_are_those_of_the_edit(photo, edit, height, width):
    assert edited(photo(0), edit, 0, "a").shape == (height, width, 3)


@pytest.mark.parametrize("edit, area", [("crop70", 0.7), ("crop50", 0.5), ("crop25", 0.25)])
def test_crops_are_part_of_the_picture_and_have_the_stated_area(photo, edit, area):
    image = photo(0)
    crop = edited(image, edit, 3, "a")
    assert crop.shape[0] * crop.shape[1] == pytest.approx(area * 240 * 320, rel=0.02)
    assert cv2.matchTemplate(image, crop, cv2.TM_SQDIFF).min() == 0


def test_mirrored_grey_and_turned_pixels_are_where_they_belong(photo):
    image = photo(0)
    np.testing.assert_array_equal(edited(image, "flip", 0, "a"), image[:, ::-1])
    grey = edited(image, "grey", 0, "a")
    assert (grey[:, :, 0] == grey[:, :, 1]).all() and (grey[:, :, 1] == grey[:, :, 2]).all()
    turned = edited(image, "rot90", 0, "a")
    assert any(np.array_equal(turned, np.rot90(image, k)) for k in (1, 3))


def test_planted_files_are_found_as_copies(photo, save, tmp_path):
    save(tmp_path / "0.png", photo(0))
    index = ReferenceIndex.build(["0.png"], Options(), tmp_path)
    names = [f"{edit}.jpg" for edit in ("jpeg30", "crop70", "flip", "text", "rot15", "combo_light")]
    for name in names:
        plant(tmp_path / "0.png", "0.png", name[:-4], 0, tmp_path / name)
    assert {m.query for m in index.match(names, tmp_path).best()} == set(names)


def test_planting_twice_writes_the_same_bytes(photo, save, tmp_path):
    save(tmp_path / "0.png", photo(0))
    for name in ("a.jpg", "b.jpg"):
        plant(tmp_path / "0.png", "0.png", "combo_hard", 1, tmp_path / name)
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()


def test_large_pictures_are_reduced_before_they_are_edited(photo, save, tmp_path):
    save(tmp_path / "0.png", photo(0, 600, 2048))
    plant(tmp_path / "0.png", "0.png", "flip", 0, tmp_path / "copy.jpg")
    assert cv2.imread(str(tmp_path / "copy.jpg")).shape == (300, 1024, 3)


def test_a_file_without_a_picture_is_an_error(tmp_path):
    (tmp_path / "0.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError):
        plant(tmp_path / "0.jpg", "0.jpg", "flip", 0, tmp_path / "copy.jpg")


def test_a_digest_tells_names_and_seeds_apart():
    assert len({digest_of(0, "a", "b"), digest_of(1, "a", "b"), digest_of(0, "ab"), digest_of(0, "b", "a")}) == 4
