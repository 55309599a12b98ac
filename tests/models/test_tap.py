from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle.nn import functional as F

from ssld.errors import InputError
from ssld.models.tap import Tapped, Taps
from ssld.models.zoo import build_network


@pytest.fixture
def image():
    return paddle.to_tensor(np.random.default_rng(0).normal(0, 1, (2, 3, 32, 32)).astype("float32"))


def test_features_have_their_shapes_and_belong_to_the_same_pass(image):
    network = build_network("SmallResNet", 4, width=8)
    taps = Taps(network, ["stage1", "stage3", "pre_stage3", "pool"], (32, 32))
    network.eval()
    logits, features = taps(image)
    assert taps.shapes == {"stage1": (8, 32, 32), "stage3": (32, 8, 8), "pre_stage3": (32, 8, 8), "pool": (32,)}
    np.testing.assert_allclose(logits.numpy(), network(image).numpy(), rtol=1e-6)
    np.testing.assert_allclose(F.relu(features["pre_stage3"]).numpy(), features["stage3"].numpy())
    np.testing.assert_allclose(features["stage3"].mean([2, 3]).numpy(), features["pool"].numpy(), rtol=1e-5)
    np.testing.assert_allclose(network.fc(features["pool"]).numpy(), logits.numpy(), rtol=1e-5)


def test_gradients_flow_through_features_and_statistics_stand_still_while_shapes_are_looked_for(image):
    network = build_network("SmallResNet", 4, width=4)
    before = {name: t.numpy() for name, t in network.state_dict().items()}
    network.train()
    taps = Taps(network, ["stage2"], (32, 32))
    assert network.training and all((t.numpy() == before[name]).all() for name, t in network.state_dict().items())
    taps(image)[1]["stage2"].sum().backward()
    assert np.abs(network.stem[0].weight.grad.numpy()).max() > 0


def test_a_tapped_network_answers_with_one_tensor_that_splits_again(image):
    network = build_network("SmallResNet", 4, width=4)
    tapped = Tapped(network, ["stage2", "pool"], (32, 32))
    logits, features = tapped.split(tapped(image))
    assert features["stage2"].shape == [2, 8, 16, 16]
    np.testing.assert_allclose(logits.numpy(), network(image).numpy(), rtol=1e-6)
    np.testing.assert_allclose(features["pool"].numpy(), tapped.taps(image)[1]["pool"].numpy())


@pytest.mark.parametrize("name, taps, shapes", [
    ("ResNet18", ["stage0", "stage4", "pre_stage4", "pool"], [(64, 32, 32), (512, 2, 2), (512, 2, 2), (512,)]),
    ("ResNet50", ["pre_stage1", "stage2", "pool"], [(256, 16, 16), (512, 8, 8), (2048,)]),
    ("MobileNetV3_small_x0_35", ["stage0", "pool"], [None, None])])
def test_names_mean_the_same_for_other_backbones(name, taps, shapes):
    found = Taps(build_network(name, 5), taps, (64, 64)).shapes
    assert list(found) == taps and all(shape is None or found[tap] == shape for tap, shape in zip(taps, shapes))


@pytest.mark.parametrize("name, message", [("stage9", "this SmallResNet has the stages 0 to 3, no stage 9"),
                                           ("stage2.0.conv3", "has no feature 'stage2.0.conv3'. Did you mean 'stage2.0.conv"),
                                           ("pre_stage0", "no activation behind its residual sum")])
def test_a_feature_that_is_not_there_is_refused(name, message):
    with pytest.raises(InputError, match=message):
        Taps(build_network("SmallResNet", 4, width=4), [name], (32, 32))
