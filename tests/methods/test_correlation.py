from __future__ import annotations

import numpy as np
import pytest

from ssld.distiller import Distiller, Term
from ssld.errors import InputError
from ssld.methods.correlation import CorrelationLoss
from ssld.models.small_resnet import SmallResNet

NAMES = ("of_student.weight", "of_student.bias", "of_teacher.weight", "of_teacher.bias")


@pytest.fixture
def features():
    rng = np.random.default_rng(2)
    return rng.normal(0, 1, (6, 5)), rng.normal(0, 1, (6, 7))


@pytest.fixture
def method(site_of):
    method = CorrelationLoss(embedding=4)
    method.attach(site_of((5,), (7,)))
    return method


def test_value_and_all_gradients_equal_the_formula(loss_of_features, weights_of, oracle, features, method):
    losses, weights = oracle("losses"), [weights_of(method)[name] for name in NAMES]
    value, slope = loss_of_features(method, *features)
    assert value == pytest.approx(losses.correlation(*features, *weights), rel=2e-5)
    expected = losses.slopes(lambda f, *w: losses.correlation(f, features[1], *w), features[0], *weights)
    parameters = dict(method.named_parameters())
    found = [slope["pool"], *(parameters[name].grad.numpy() for name in NAMES)]
    for name, mine, theirs in zip(("features", *NAMES), found, expected):
        np.testing.assert_allclose(mine, theirs, atol=1e-4 * np.abs(theirs).max(), err_msg=name)


def test_the_scale_is_a_factor(loss_of_features, site_of, features, method):
    other = CorrelationLoss(scale=0.04, embedding=4)
    other.attach(site_of((5,), (7,)))
    other.set_state_dict(method.state_dict())
    assert loss_of_features(other, *features)[0] == pytest.approx(2 * loss_of_features(method, *features)[0], rel=1e-6)


def test_one_image_has_no_neighbour_and_no_loss(loss_of_features, features, method):
    value, slope = loss_of_features(method, features[0][:1], features[1][:1])
    assert value == 0 and not slope["pool"].any()


def test_equal_embeddings_give_no_loss_and_a_gradient_of_0(loss_of_features, features, method, site_of):
    method.attach(site_of((5,), (5,)))
    method.of_teacher.set_state_dict(method.of_student.state_dict())
    value, slope = loss_of_features(method, features[0], features[0])
    assert value == 0 and not slope["pool"].any()


def test_any_feature_can_be_compared_and_float16_is_computed_in_float32(loss_of_features, site_of):
    method = CorrelationLoss(embedding=4, student_tap="stage2", teacher_tap="blocks.3")
    method.attach(site_of({"stage2": (3, 2, 2)}, {"blocks.3": (4, 5)}))
    value, slope = loss_of_features(method, {"stage2": np.full((2, 3, 2, 2), 300.0)}, {"blocks.3": np.full((2, 4, 5), 300.0)},
                                    dtype="float16")
    assert np.isfinite(value) and np.isfinite(slope["stage2"]).all() and method.student_taps == ("stage2",)


def test_the_embeddings_train_with_the_student_and_are_no_part_of_it(method):
    class Live:
        provides = frozenset({"features"})

    student = SmallResNet(4, width=4)
    model = Distiller(student, Live(), [Term(method)])
    assert len(model.parameters()) == len(student.parameters()) + 4
    assert not any("of_" in name for name in student.state_dict())


@pytest.mark.parametrize("options", [{"scale": -1}, {"embedding": 0}, {"embedding": 1.5}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(InputError, match=next(iter(options))):
        CorrelationLoss(**options)
