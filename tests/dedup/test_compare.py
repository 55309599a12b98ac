import cv2
import numpy as np
import pytest

from dedup.compare import Pictures
from dedup.options import Options
from dedup.paths import Paths
from dedup.work import GroupOptions, open_work


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
