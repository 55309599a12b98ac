import numpy as np

from dedup import geometry

POINTS = np.array([[0.0, 0.0], [3.0, 1.0], [10.0, 7.0]])


def test_composition_applies_the_first_map_first():
    first, second = np.array([[2.0, 0, 1], [0, 3, 0]]), np.array([[0.0, -1, 5], [1, 0, 2]])
    assert np.allclose(geometry.apply(geometry.compose(second, first), POINTS),
                       geometry.apply(second, geometry.apply(first, POINTS)))


def test_rescaling_keeps_the_corners_of_pixels():
    affine = geometry.rescaling((10, 20), (5, 40))
    corners = np.array([[-0.5, -0.5], [19.5, 9.5]])
    assert np.allclose(geometry.apply(affine, corners), [[-0.5, -0.5], [39.5, 4.5]])


def test_mirroring_exchanges_first_and_last_column():
    assert np.allclose(geometry.apply(geometry.mirroring(10), np.array([[0.0, 4], [9, 4]])), [[9, 4], [0, 4]])


def test_only_maps_an_edit_can_make_are_plausible():
    def scaled(x, y):
        return np.array([[x, 0, 3], [0, y, 4.0]])
    assert geometry.is_plausible(geometry.IDENTITY)
    assert geometry.is_plausible(scaled(0.3, 0.11)) and geometry.is_plausible(scaled(9.9, 4))
    for affine in (scaled(-1, 1), scaled(1, 0), scaled(0.09, 0.2), scaled(10.1, 9), scaled(3.1, 1), scaled(np.nan, 1)):
        assert not geometry.is_plausible(affine)


def test_plausibility_is_that_of_the_singular_values():
    random = np.random.default_rng(0)
    answers = []
    for _ in range(500):
        affine = random.normal(0, 10 ** random.uniform(-1.5, 1.5), (2, 3))
        large, small = np.linalg.svd(affine[:, :2], compute_uv=False)
        answers.append(np.linalg.det(affine[:, :2]) > 0 and small >= 0.1 and large <= 10 and large <= 3 * small)
        assert geometry.is_plausible(affine) == answers[-1]
    assert 20 < sum(answers) < 480
