import cv2
import numpy as np
import pytest

from dedup.fill import all_but_fill


@pytest.fixture(scope="module")
def grey():
    """Texture without any plain part."""
    coarse = np.random.default_rng(0).integers(0, 256, (30, 40), dtype=np.uint8)
    return cv2.resize(coarse, (160, 120), interpolation=cv2.INTER_LINEAR)


def turned(grey, colour):
    """The picture turned by 20 degrees, and where it lies."""
    turn = cv2.getRotationMatrix2D((80, 60), 20, 0.7)
    picture = cv2.warpAffine(grey, turn, (160, 120), borderValue=colour)
    return picture, cv2.warpAffine(np.full_like(grey, 255), turn, (160, 120), flags=cv2.INTER_NEAREST)


@pytest.mark.parametrize("colour", [0, 255, 131])
def test_what_a_rotation_leaves_empty_is_fill_even_after_recompression(grey, colour):
    picture, inside = turned(grey, colour)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    mask = all_but_fill(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    assert set(np.unique(mask)) == {0, 255}
    assert np.mean(mask[inside == 0] == 0) > 0.85 and np.mean(mask[inside > 0] == 255) > 0.97


def test_a_photo_without_fill_is_picture_throughout(grey):
    assert np.mean(all_but_fill(grey) == 255) > 0.97


def test_a_constant_region_away_from_the_corners_is_picture(grey):
    picture = grey.copy()
    picture[40:80, 50:110] = 0
    assert all_but_fill(picture)[40:80, 50:110].all()


def test_a_thin_line_that_leaves_fill_is_picture(grey):
    picture = np.maximum(grey, 20)
    picture[:20, :20] = picture[10:13, 20:150] = 0
    mask = all_but_fill(picture)
    assert not mask[:18, :18].any() and mask[10:13, 23:].all()


def test_the_thumbnail_is_left_as_it_is_and_may_be_read_only_or_mirrored(grey):
    picture, _ = turned(grey, 0)
    before = picture.copy()
    picture.setflags(write=False)
    assert np.array_equal(all_but_fill(picture)[:, ::-1], all_but_fill(picture[:, ::-1]))
    assert np.array_equal(picture, before)
