from __future__ import annotations

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.methods.rkd import RKDLoss


@pytest.fixture
def features():
    """Pooled features as a ReLU leaves them: not negative, far from the origin."""
    rng = np.random.default_rng(3)
    return np.abs(rng.normal(0, 1, (8, 20))) + 2, np.abs(rng.normal(0, 3, (8, 30)))


@pytest.mark.parametrize("options", [{}, {"squared": True}, {"distance_weight": 0.0}, {"angle_weight": 0.0}])
def test_value_and_gradient_equal_the_form_with_all_differences_written_out(loss_of_features, oracle, features, options):
    losses = oracle("losses")
    value, slope = loss_of_features(RKDLoss(**options), *features)
    expected, = losses.slopes(lambda f: losses.rkd(f, features[1], **options), features[0])
    assert value == pytest.approx(losses.rkd(*features, **options), rel=2e-5)
    np.testing.assert_allclose(slope["pool"], expected, atol=1e-4 * np.abs(expected).max())


def test_it_is_exact_for_features_of_the_usual_width(loss_of_features, oracle):
    rng = np.random.default_rng(0)
    features = rng.gamma(1, 1, (32, 512)), rng.gamma(1, 1, (32, 2048))
    assert loss_of_features(RKDLoss(), *features)[0] == pytest.approx(oracle("losses").rkd(*features), rel=2e-5)


@pytest.mark.parametrize("copies", [[0, 3], [0, 3, 5], list(range(8))])
@pytest.mark.parametrize("whose", [0, 1])
def test_identical_rows_are_left_out_and_get_a_finite_gradient(loss_of_features, oracle, features, copies, whose):
    features[whose][copies] = features[whose][0]
    value, slope = loss_of_features(RKDLoss(), *features)
    assert value == pytest.approx(oracle("losses").rkd(*features), rel=2e-5)
    assert np.abs(slope["pool"]).max() < 100 and np.isfinite(slope["pool"]).all()


def test_rows_that_rounding_alone_tells_apart_count_as_identical(loss_of_features, features):
    identical, nearly = features[0].copy(), features[0].copy()
    identical[3], nearly[3] = identical[0], identical[0] * (1 + 1e-7)
    expected = loss_of_features(RKDLoss(), identical, features[1])
    value, slope = loss_of_features(RKDLoss(), nearly, features[1])
    assert value == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(slope["pool"], expected[1]["pool"], atol=1e-3 * np.abs(expected[1]["pool"]).max())


def test_one_image_has_no_relations_and_no_loss(loss_of_features, features):
    value, slope = loss_of_features(RKDLoss(), features[0][:1], features[1][:1])
    assert value == 0 and not slope["pool"].any()


def test_moving_turning_and_scaling_the_features_changes_nothing(loss_of_features, features):
    turned = np.linalg.qr(np.random.default_rng(0).normal(0, 1, (20, 20)))[0]
    value, slope = loss_of_features(RKDLoss(), features[0], 3 * features[0] @ turned + 5)
    assert value == pytest.approx(0, abs=1e-6) and np.abs(slope["pool"]).max() < 1e-4


def test_maps_are_flattened_and_float16_is_computed_in_float32(loss_of_features, oracle):
    rng = np.random.default_rng(0)
    f_s, f_t = (rng.integers(0, 200, (4, 6, 2, 2)) * 0.5 for _ in range(2))
    value, slope = loss_of_features(RKDLoss(student_tap="stage3", teacher_tap="stage4"), {"stage3": f_s}, {"stage4": f_t},
                                    dtype="float16")
    assert value == pytest.approx(oracle("losses").rkd(f_s, f_t), rel=2e-5) and np.isfinite(slope["stage3"]).all()


@pytest.mark.parametrize("options", [{"distance_weight": -1}, {"angle_weight": "2"}, {"squared": 2}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        RKDLoss(**options)
