import cv2
import numpy as np
import pytest

from dedup import sift


@pytest.fixture(scope="module")
def grey(photo):
    return cv2.cvtColor(photo(1, 256, 256), cv2.COLOR_RGB2GRAY)


def nearest_places(a, b):
    """For every point of `a` the row of the closest point of `b`, and how far it is."""
    far = np.linalg.norm(a[:, None] - b[None], axis=2)
    return far.argmin(axis=1), far.min(axis=1)


def test_mirrored_descriptors_equal_those_of_the_flipped_image(grey):
    found = sift.extract(grey, 10_000, 0.02).mirrored(grey.shape[1])
    flipped = sift.extract(cv2.flip(grey, 1), 10_000, 0.02)
    pairs = [(i, j) for i in range(len(found.sizes)) for j in range(len(flipped.sizes))
             if np.abs(found.points[i] - flipped.points[j]).max() < 0.6        # subpixel fit is not quite symmetric
             and abs((found.angles[i] - flipped.angles[j] + 180) % 360 - 180) < 5
             and abs(np.log2(found.sizes[i] / flipped.sizes[j])) < 0.2]
    rows, others = np.array(pairs).T
    assert len(set(rows)) > 0.8 * len(found.sizes)
    a, b, unchanged = (sift.rootsift(d) / sift.SCALE for d in (
        found.descriptors[rows], flipped.descriptors[others], sift.mirror(found.descriptors[rows])))
    assert np.median(((a - b) ** 2).sum(axis=1)) < 0.05
    assert np.median(((unchanged - b) ** 2).sum(axis=1)) > 0.3


def test_mirroring_twice_changes_nothing(grey):
    found = sift.extract(grey, 100, 0.02)
    again = found.mirrored(256).mirrored(256)
    assert np.array_equal(again.descriptors, found.descriptors)
    assert np.allclose(again.points, found.points, atol=1e-3) and np.allclose(again.angles, found.angles, atol=1e-3)


def test_mirror_follows_the_formula():
    layout = np.arange(128, dtype=np.uint8).reshape(4, 4, 8)
    expected = [[[layout[3 - r, c, -o % 8] for o in range(8)] for c in range(4)] for r in range(4)]
    assert np.array_equal(sift.mirror(layout.reshape(1, 128)), np.reshape(expected, (1, 128)))


def test_half_of_the_key_points_are_the_largest_and_the_rest_the_strongest():
    random = np.random.default_rng(0)
    size, response, angle, x, y = random.permuted(np.arange(1.0, 101), axis=0) * np.ones((5, 1))
    response = random.permutation(response)
    rows = sift.select(size, response, angle, x, y, 20)
    assert set(size[rows[:10]]) == set(range(91, 101))
    others = sorted(response[size <= 90])[-10:]
    assert sorted(response[rows[10:]]) == others


def test_selection_does_not_depend_on_the_order_of_detection():
    random = np.random.default_rng(1)
    columns = random.integers(0, 4, (5, 200)).astype(float)       # many ties
    order = random.permutation(200)
    first = columns[:, sift.select(*columns, 30)]
    assert np.array_equal(first, columns[:, order][:, sift.select(*columns[:, order], 30)])


def test_fewer_key_points_than_asked_for_are_all_kept(grey):
    everything = sift.extract(grey, 10_000, 0.02)
    assert len(sift.extract(grey, 64, 0.02).sizes) == 64
    detected = cv2.SIFT_create(nfeatures=0, contrastThreshold=0.02).detect(grey, None)
    assert len(everything.sizes) == len(detected)


def test_kept_key_points_are_those_opencv_detects(grey):
    detected = {(*p.pt, p.size, p.angle % 360) for p in cv2.SIFT_create(nfeatures=0, contrastThreshold=0.02).detect(grey, None)}
    found = sift.extract(grey, 32, 0.02)
    kept = np.column_stack([found.points, found.sizes, found.angles]).tolist()
    assert all(np.abs(np.subtract(list(detected), k)).max(axis=1).min() < 1e-3 for k in kept)


def test_rootsift_is_the_root_of_the_normalised_descriptor(grey):
    descriptors = sift.extract(grey, 50, 0.02).descriptors
    vectors = sift.rootsift(descriptors)
    expected = np.sqrt(descriptors / descriptors.sum(axis=1, keepdims=True))
    assert np.abs(vectors / sift.SCALE - expected).max() <= 0.5 / sift.SCALE + 1e-7
    assert np.array_equal(vectors, np.round(vectors))
    assert np.allclose((vectors ** 2).sum(axis=1), sift.SCALE ** 2, rtol=2e-3)


def test_flat_and_tiny_images_have_no_features():
    for shape in ((100, 100), (7, 100), (1, 1)):
        found = sift.extract(np.full(shape, 90, np.uint8), 256, 0.02)
        assert found.descriptors.shape == (0, 128) and found.points.shape == (0, 2)
