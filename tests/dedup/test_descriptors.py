import cv2
import numpy as np
import pytest

from dedup import descriptors, sift


@pytest.fixture(scope="module")
def grey(photo):
    return cv2.cvtColor(photo(1, 257, 257), cv2.COLOR_RGB2GRAY)     # odd: every second pixel is the same from both ends


@pytest.fixture(scope="module")
def keypoints(grey):
    """Points, sizes and angles, as `compute` takes them."""
    x, y, sizes, angles, _ = sift.detect(grey, 0.02)
    return np.column_stack([x, y]), sizes, angles


def squared_distances(first, second):
    """Of unit RootSIFT vectors, row by row."""
    return ((sift.rootsift(first) - sift.rootsift(second)) ** 2).sum(axis=1) / sift.SCALE ** 2


def share_equal(first, second):
    """Part of the values that differ by less than two units of 512."""
    return np.mean(np.abs(first.astype(int) - second) < 2)


def test_descriptors_are_close_to_those_of_opencv(grey):
    found, expected = cv2.SIFT_create(nfeatures=0, contrastThreshold=0.02).detectAndCompute(grey, None)
    x, y, sizes, angles = np.array([(*k.pt, k.size, k.angle) for k in found], np.float32).T
    ours = descriptors.compute(grey, np.column_stack([x, y]), sizes, angles)
    assert np.quantile(squared_distances(ours, expected), 0.9) < 0.1
    assert np.median(squared_distances(ours, np.roll(expected, 1, axis=0))) > 0.4


def test_a_turned_picture_has_the_same_descriptors(grey, keypoints):
    points, sizes, angles = keypoints
    turned = np.column_stack([points[:, 1], 256 - points[:, 0]])
    first = descriptors.compute(grey, points, sizes, angles)
    second = descriptors.compute(np.ascontiguousarray(np.rot90(grey)), turned, sizes, angles - 90)
    assert share_equal(first, second) > 0.97        # points are rounded to 1/32 pixel


def test_a_flipped_picture_has_the_mirrored_descriptors(grey, keypoints):
    points, sizes, angles = keypoints
    flipped = np.column_stack([256 - points[:, 0], points[:, 1]])
    first = sift.mirror(descriptors.compute(grey, points, sizes, angles))
    second = descriptors.compute(cv2.flip(grey, 1), flipped, sizes, (180 - angles) % 360)
    assert share_equal(first, second) > 0.97


def test_light_does_not_matter(grey, keypoints):
    darker = (grey.astype(np.float32) * 0.5 + 40).round().astype(np.uint8)
    far = squared_distances(descriptors.compute(grey, *keypoints), descriptors.compute(darker, *keypoints))
    assert np.median(far) < 0.02


def test_a_descriptor_does_not_depend_on_the_other_key_points(grey, keypoints):
    together = descriptors.compute(grey, *keypoints)
    for row in range(0, len(together), 7):
        alone = descriptors.compute(grey, *(column[row:row + 1] for column in keypoints))
        assert np.array_equal(alone[0], together[row])


def test_gradients_are_shared_by_the_two_nearest_directions():
    patches = np.random.default_rng(0).integers(0, 2040, (3, 14, 14)).astype(np.float32)
    weights = descriptors._WEIGHTS.reshape(12, 12, 16)
    expected = np.zeros((3, 8, 16))
    directions = [(np.cos(o * np.pi / 4), np.sin(o * np.pi / 4)) for o in range(8)]
    for number, row, column in np.ndindex(3, 12, 12):
        patch = patches[number]
        gradient = (patch[row + 1, column + 2] - patch[row + 1, column], patch[row, column + 1] - patch[row + 2, column + 1])
        lower = int(np.arctan2(gradient[1], gradient[0]) % (2 * np.pi) // (np.pi / 4)) % 8
        pair = lower, (lower + 1) % 8
        shares = np.linalg.solve(np.transpose([directions[o] for o in pair]), gradient)
        for turn, share in zip(pair, shares):
            expected[number, turn] += share / (2 ** 0.5 if turn % 2 else 1) * weights[row, column]
    found = descriptors._histograms(patches)
    assert np.array_equal(found, np.round(found))
    assert np.allclose(found, expected, atol=0.5)


def test_cell_weights_are_bilinear_times_a_gaussian_window():
    weights = descriptors._WEIGHTS.reshape(12, 12, 4, 4)
    plain = np.zeros((12, 12, 4, 4))
    for y, x, row, column in np.ndindex(plain.shape):
        v, u = (y + 0.5) / 3 - 0.5, (x + 0.5) / 3 - 0.5
        window = np.exp(-((v - 1.5) ** 2 + (u - 1.5) ** 2) / 8)
        plain[y, x, row, column] = max(0, 1 - abs(v - row)) * max(0, 1 - abs(u - column)) * window
    assert weights.max() == 127
    assert np.allclose(weights, plain * (127 / plain.max()), atol=0.5)


def test_windows_reaching_beyond_a_small_picture_are_fine():
    grey = np.random.default_rng(0).integers(0, 256, (9, 40), dtype=np.uint8)
    points, sizes = np.float32([[0, 0], [39, 8], [20, 4]]), np.float32([1.6, 300, 20])
    found = descriptors.compute(grey, points, sizes, np.float32([0, 123, 359.9]))
    assert found.shape == (3, 128) and (found.max(axis=1) > 0).all()


def test_a_flat_patch_has_a_descriptor_of_zeros():
    flat = np.full((50, 50), 90, np.uint8)
    assert not descriptors.compute(flat, np.float32([[25, 25]]), np.float32([4]), np.float32([0])).any()


def test_no_key_points_have_no_descriptors(grey):
    none = np.zeros(0, np.float32)
    assert descriptors.compute(grey, np.zeros((0, 2), np.float32), none, none).shape == (0, 128)
