from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.methods.dkd import DKDLoss, larger_share
from ssld.methods.kd import KDLoss
from ssld.outputs import Outputs

LABEL = np.random.default_rng(1).integers(0, 10, 16)


@pytest.mark.parametrize("options", [{}, {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}, {"alpha": 0.0}, {"beta": 0.0}])
def test_value_and_gradient_equal_the_formula_on_random_logits(loss_of, oracle, logits, options):
    losses = oracle("losses")
    value, slope, _ = loss_of(DKDLoss(**options), *logits, LABEL)
    expected, = losses.slopes(lambda z: losses.dkd(z, logits[1], LABEL, **options), logits[0])
    assert value == pytest.approx(losses.dkd(*logits, LABEL, **options), rel=2e-5)
    np.testing.assert_allclose(slope, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("share, expected", [(0.9, [1, 5, 2]), (0.5, [1, 1, 2]), (0.3, [2, 1, 5]), (1.0, [1, 5, 2])])
def test_the_label_of_a_mixed_image_is_that_of_the_larger_share_and_of_equal_ones_the_smaller_class(share, expected):
    label, partner = paddle.to_tensor([1, 5, 2]), paddle.to_tensor([2, 0, 1])
    found = larger_share({"label": label, "partner": partner, "share": paddle.full([3], share)})
    assert found.tolist() == np.argmax([share * np.eye(6)[own] + (1 - share) * np.eye(6)[theirs]
                                        for own, theirs in ((1, 2), (5, 1), (2, 5))], 1).tolist() == expected


def test_mixed_images_are_judged_by_that_label(oracle, logits):
    label, partner, share = paddle.to_tensor(LABEL), paddle.to_tensor(np.arange(16)[::-1].copy()), paddle.full([16], 0.2)
    student, teacher = (Outputs(paddle.to_tensor(z.astype(np.float32))) for z in logits)
    found = DKDLoss()(student, teacher, {"label": label, "partner": partner, "share": share})
    assert float(found) == pytest.approx(oracle("losses").dkd(*logits, LABEL[::-1]), rel=2e-5)


def test_it_is_kd_where_the_other_classes_have_the_weight_that_the_teacher_gives_them(loss_of, oracle, logits):
    q = np.exp(oracle("losses").log_softmax(logits[1][:1]))
    beta = 1 - q[0, LABEL[0]]
    one = logits[0][:1], logits[1][:1]
    assert loss_of(DKDLoss(beta=beta), *one, LABEL[:1])[0] == pytest.approx(loss_of(KDLoss(), *one)[0], rel=2e-5)


@pytest.mark.parametrize("student, teacher", [([200, 0, 0], [0, 200, 0]), ([0, 200, 0], [200, 0, 0]),
                                              ([200, 0, 0], [200, 0, 0]), ([0, 200, -200], [0, -200, 200])])
@pytest.mark.parametrize("label", [0, 1])
def test_nothing_underflows_at_a_gap_of_200(loss_of, oracle, student, teacher, label):
    losses, z_s, z_t = oracle("losses"), np.array([student], float), np.array([teacher], float)
    value, slope, _ = loss_of(DKDLoss(), z_s, z_t, [label])
    expected, = losses.slopes(lambda z: losses.dkd(z, z_t, [label]), z_s)
    assert value == pytest.approx(losses.dkd(z_s, z_t, [label]), rel=2e-5, abs=1e-6)
    np.testing.assert_allclose(slope, expected, atol=1e-4)


@pytest.mark.parametrize("gap", [1, 200])
def test_for_two_classes_only_the_first_part_is_left(loss_of, gap):
    logits = np.array([[gap, 0], [0, gap]], float), np.array([[0, gap], [0, gap]], float)
    value, slope, _ = loss_of(DKDLoss(alpha=0.0), *logits, [0, 1])
    assert value == 0 and not slope.any()
    both = loss_of(DKDLoss(), *logits, [0, 1])
    kd = loss_of(KDLoss(), *logits)
    assert both[0] == pytest.approx(kd[0], rel=2e-5)
    np.testing.assert_allclose(both[1], kd[1], atol=1e-6)


def test_a_perfect_student_has_no_loss_and_no_gradient(loss_of, logits):
    value, slope, of_teacher = loss_of(DKDLoss(temperature=4.0), logits[0], logits[0] + 3.0, LABEL)
    assert abs(value) < 1e-5 and np.abs(slope).max() < 1e-6 and of_teacher is None


def test_float16_logits_near_the_end_of_their_range_give_a_finite_loss(loss_of):
    value, slope, _ = loss_of(DKDLoss(), [[60000, 0, -60000]], [[-60000, 0, 60000]], [0], dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope).all()


def test_it_needs_labels():
    assert DKDLoss().needs == {"probabilities", "label"}


@pytest.mark.parametrize("options", [{"alpha": -1}, {"beta": "2"}, {"temperature": 0}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        DKDLoss(**options)
