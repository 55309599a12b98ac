import cv2
import numpy as np
import pytest

from dedup import geometry, sift
from dedup.options import Options
from dedup.picture import View, thumbnail
from dedup.verify import agreement, guided_matches, mutual_matches, verify

OPTIONS = Options()


def view_of(rgb):
    grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
    longer = max(grey.shape)
    if longer > 256:
        grey = cv2.resize(grey, None, fx=256 / longer, fy=256 / longer, interpolation=cv2.INTER_AREA)
    return View(sift.extract(grey, 256, 0.02), grey.shape, thumbnail(grey))


def warped(rgb, affine):
    return cv2.warpAffine(rgb, np.float64(affine), rgb.shape[1::-1], flags=cv2.INTER_AREA, borderValue=(90, 90, 90))


@pytest.fixture(scope="module")
def rgb(photo):
    return photo(1, 256, 256)


def test_a_picture_agrees_with_itself(rgb):
    check = verify(view_of(rgb), view_of(rgb), OPTIONS)
    assert check.is_copy(OPTIONS) and check.agreement == 1.0 and check.inliers > 100
    assert np.allclose(check.affine, geometry.IDENTITY, atol=1e-2)


def test_the_affine_map_leads_from_the_query_to_the_reference(rgb):
    true = np.array([[0.8, -0.2, 40], [0.25, 0.7, 20]])
    check = verify(view_of(rgb), view_of(warped(rgb, true)), OPTIONS)
    assert check.is_copy(OPTIONS)
    corners = np.array([[0.0, 0], [255, 0], [0, 255]])
    assert np.abs(geometry.apply(check.affine, corners) - geometry.apply(true, corners)).max() < 2      # pixels


def test_the_inlying_points_obey_the_map(rgb):
    check = verify(view_of(rgb[20:220, 30:240]), view_of(rgb), OPTIONS)
    error = np.linalg.norm(geometry.apply(check.affine, check.query_points) - check.reference_points, axis=1)
    assert check.inliers <= len(error) and error.max() <= 2 * OPTIONS.ransac_px     # refitted after counting


def test_another_picture_is_no_copy(rgb, photo):
    assert not verify(view_of(photo(2, 256, 256)), view_of(rgb), OPTIONS).is_copy(OPTIONS)


def test_a_mirrored_copy_is_found_only_in_the_mirrored_view(rgb):
    query, reference = view_of(rgb[:, ::-1]), view_of(rgb)
    assert not verify(query, reference, OPTIONS).is_copy(OPTIONS)
    assert verify(query, reference.mirrored(), OPTIONS).is_copy(OPTIONS)


def test_a_shared_overlay_does_not_make_two_pictures_copies(photo):
    overlay = photo(9, 256, 256)
    first, second = photo(1, 256, 256), photo(2, 256, 256)
    for picture in (first, second):
        picture[200:] = overlay[200:]
    check = verify(view_of(first), view_of(second), OPTIONS)
    assert check.inliers >= OPTIONS.min_inliers         # a tool that counts matches would be fooled
    assert not check.is_copy(OPTIONS)


def test_a_copy_below_a_shared_overlay_is_found_in_the_second_round(photo):
    overlay, picture = photo(9, 256, 256), photo(1, 256, 256)
    first = picture.copy()
    second = warped(picture, [[0.7, 0, 60], [0, 0.7, 10]])
    for image in (first, second):
        image[170:] = overlay[170:]
    first[170:190], second[170:190] = 0, 255
    assert verify(view_of(first), view_of(second), OPTIONS).is_copy(OPTIONS)


def test_agreement_follows_the_formula(rgb):
    """The same numbers, computed window by window in float64."""
    reference = view_of(rgb)
    noisy = np.clip(rgb + np.random.default_rng(0).normal(0, 60, rgb.shape), 0, 255).astype(np.uint8)
    noisy[:100, :128] = 128
    query = view_of(noisy)
    a, b = (cv2.GaussianBlur(v.thumbnail.astype(np.float64), (0, 0), 1.5) for v in (query, reference))
    judged = correlated = 0
    for y in range(1, 160 - 16):        # windows inside the overlap, which is eroded by one pixel
        for x in range(1, 160 - 16):
            p, q = (i[y:y + 16, x:x + 16] for i in (a, b))
            if p.var() > 9 or q.var() > 9:
                judged += 1
                covariance = ((p - p.mean()) * (q - q.mean())).mean()
                correlated += covariance / np.sqrt(max(p.var(), 4) * max(q.var(), 4)) > 0.6
    assert 0.2 < correlated / judged < 0.98     # the example distinguishes
    assert agreement(query, reference, geometry.IDENTITY) == pytest.approx(correlated / judged, abs=1e-3)


def test_agreement_needs_fifty_textured_windows(rgb):
    view = view_of(rgb)
    far = np.array([[1.0, 0, 230], [0, 1, 230]])
    assert agreement(view, view, far) == 0.0
    flat = view_of(np.full((256, 256, 3), 90, np.uint8))
    assert agreement(flat, flat, geometry.IDENTITY) == 0.0


def filled(rgb, size):
    """The picture with black corners, legs of `size` pixels, as a rotated copy of a crop has them."""
    picture = rgb.copy()
    far = np.array([picture.shape[1] - 1, picture.shape[0] - 1])
    for corner in ((0, 0), (1, 0), (0, 1), (1, 1)):
        legs = np.array([[0, 0], [size, 0], [0, size]])
        cv2.fillPoly(picture, [np.abs(far * corner - legs).astype(np.int32)], (0, 0, 0))
    return picture


def test_without_fill_only_the_picture_is_judged(rgb):
    query, reference = view_of(filled(rgb, 80)), view_of(rgb)
    assert agreement(query, reference, geometry.IDENTITY) < 0.85
    assert agreement(query, reference, geometry.IDENTITY, with_fill=False) > 0.95
    assert agreement(reference, query, geometry.IDENTITY, with_fill=False) < 0.85      # fill of the reference counts


def test_fill_excuses_at_most_half_of_the_overlap(rgb):
    query, reference = rgb.copy(), view_of(rgb)
    query[:, 110:] = 0
    assert agreement(view_of(query), reference, geometry.IDENTITY, with_fill=False) == 0.0


def test_a_copy_with_fill_and_an_overlay_is_found(rgb, photo):
    query, overlay = filled(rgb, 90), photo(9, 256, 256)
    query[95:165, 50:210] = overlay[95:165, 50:210]
    query, reference = view_of(query), view_of(rgb)
    assert agreement(query, reference, geometry.IDENTITY) < OPTIONS.min_agreement      # too little without this
    assert verify(query, reference, OPTIONS).is_copy(OPTIONS)


def test_matches_are_mutual_nearest_neighbours_within_the_ratio():
    random = np.random.default_rng(0)
    query = random.integers(0, 256, (40, 128), dtype=np.uint8)
    reference = np.concatenate([query[:30], random.integers(0, 256, (30, 128), dtype=np.uint8)])
    reference[29] = reference[28]       # two equal ones: ratio 1
    query[31] = query[0]                # two want the same: only one can be mutual
    rows, columns = mutual_matches(query, reference, 0.5)
    assert rows.tolist() == columns.tolist() == list(range(28))


def test_matching_agrees_with_a_plain_computation(rgb, photo):
    a, b = (view_of(p).features.descriptors for p in (rgb[:200], rgb))
    p, q = (np.sqrt(d / d.sum(axis=1, keepdims=True, dtype=np.float64)) for d in (a, b))
    far = np.linalg.norm(p[:, None] - q[None], axis=2)
    nearest = far.argmin(axis=1)
    two = np.sort(far, axis=1)
    expected = {(i, j) for i, j in enumerate(nearest) if far[:, j].argmin() == i and two[i, 0] <= 0.85 * two[i, 1]}
    found = set(zip(*(c.tolist() for c in mutual_matches(a, b, 0.85))))
    assert len(expected ^ found) <= 2       # whole-number vectors differ by half of 1/2048


def test_too_few_descriptors_match_nothing():
    some = np.random.default_rng(0).integers(0, 256, (5, 128), dtype=np.uint8)
    assert len(mutual_matches(some[:0], some, 0.85)[0]) == len(mutual_matches(some, some[:1], 0.85)[0]) == 0


def test_guided_matches_stay_near_the_expected_place(rgb):
    query, reference = view_of(rgb[20:220, 30:240]), view_of(rgb)
    shift = np.array([[1.0, 0, 30], [0, 1, 20]])
    source, target = guided_matches(query, reference, shift, OPTIONS)
    assert len(source) > len(mutual_matches(query.features.descriptors, reference.features.descriptors, 0.85)[0]) / 2
    assert np.abs(geometry.apply(shift, source) - target).max() <= 20


def test_points_at_one_place_count_once(rgb):
    view = view_of(rgb)
    doubled = view._replace(features=type(view.features)(*(np.repeat(c, 2, axis=0) for c in view.features)))
    assert verify(doubled, doubled, OPTIONS).inliers <= verify(view, view, OPTIONS).inliers
