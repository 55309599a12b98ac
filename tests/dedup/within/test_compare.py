import cv2
import numpy as np
import pytest

from dedup.options import Options
from dedup.paths import Paths
from dedup.verify import verify
from dedup.within.compare import Pictures
from dedup.within.work import GroupOptions, open_work


@pytest.fixture
def pictures(tmp_path, save):
    """`pictures(a, b, ...)`: what compares the given RGB arrays."""
    def make(*arrays):
        names = [f"{row}.png" for row in range(len(arrays))]
        for name, array in zip(names, arrays):
            save(tmp_path / name, array)
        return Pictures(open_work(tmp_path / "work", tmp_path, Paths.of(names), np.zeros(len(names), bool), Options(),
                                  GroupOptions()))
    return make


def test_the_map_is_between_pixels_of_the_files(pictures, photo):
    picture = photo(0, 480, 640)
    part = cv2.resize(picture[100:400, 60:560], (250, 150), interpolation=cv2.INTER_AREA)
    found = pictures(part, picture).compare(0, 1)
    np.testing.assert_allclose(found.affine @ [[0, 249], [0, 149], [1, 1]], [[60.5, 558.5], [100.5, 398.5]], atol=2)
    assert found.inliers >= 5 and found.agreement >= 0.55 and not found.mirrored


def test_other_pictures_are_no_duplicates(pictures, photo):
    assert pictures(photo(0), photo(1)).compare(0, 1) is None


def framed(picture, margin):
    """A picture of 240 x 320 in a frame that is textured all around, with a margin of one grey level outside."""
    sheet = np.full((300, 400, 3), margin, np.uint8)
    sheet[:, ::12] = sheet[::12] = 40
    cv2.putText(sheet, "STOCK PHOTO LIBRARY No. 4711", (20, 292), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (200, 0, 0), 2)
    for place, colour in enumerate(np.random.default_rng(0).integers(0, 256, (60, 3)).tolist()):
        cv2.circle(sheet, (13 * place % 400, 12 if place % 2 else 285), 8, colour, -1)
    sheet[60:240, 80:320] = cv2.resize(picture, (240, 180), interpolation=cv2.INTER_AREA)
    return cv2.copyMakeBorder(sheet, 40, 40, 40, 40, cv2.BORDER_CONSTANT, value=(margin,) * 3)


def test_two_pictures_in_one_frame_are_no_duplicates(pictures, photo):
    both = pictures(framed(photo(0), 230), framed(photo(1), 230), cv2.GaussianBlur(framed(photo(0), 230), (0, 0), 1))
    check = verify(both[0].view, both[1].view, Options())
    assert check.is_copy(Options())             # the frame is more than half of what there is to see
    assert both.compare(0, 1) is None and both.compare(1, 2) is None
    assert both.compare_along(0, 1, check.affine) is None
    assert both.compare(0, 2).agreement > 0.9


def test_a_picture_with_nothing_in_its_middle_is_judged_by_the_rest(pictures, photo):
    hollow = photo(0).copy()
    hollow[30:210, 40:280] = 128
    assert pictures(hollow, cv2.GaussianBlur(hollow, (0, 0), 1)).compare(0, 1).agreement > 0.9


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_expected_map_is_confirmed_and_a_wrong_one_is_not(pictures, photo, mirrored):
    picture = photo(0)
    part = picture[40:200, 50:280]
    both = pictures(part[:, ::-1] if mirrored else part, picture)
    expected = np.array([[-1, 0, 279.0], [0, 1, 40]] if mirrored else [[1, 0, 50.0], [0, 1, 40]])
    found = both.compare_along(0, 1, expected + np.array([[0, 0, 5], [0, 0, -5]]))
    assert found.mirrored == mirrored
    np.testing.assert_allclose(found.affine, expected, atol=1)
    assert both.compare_along(0, 1, expected + np.array([[0, 0, 60], [0, 0, 60]])) is None


@pytest.mark.parametrize("change, is_duplicate", [(1, True), (9, False)])
def test_flat_pictures_need_the_same_colour(pictures, change, is_duplicate):
    ramp = np.repeat(np.linspace(60, 160, 300).astype(np.uint8)[None, :, None], 200, axis=0) * np.ones(3, np.uint8)
    found = pictures(ramp, ramp + np.array([change, 0, 0], np.uint8)).compare(0, 1)
    assert (found is not None) == is_duplicate
    assert not is_duplicate or (found.inliers, found.affine) == (0, None)
