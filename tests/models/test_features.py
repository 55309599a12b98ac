from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models.features import WithFeatures
from ssld.models.zoo import build_network
from ssld.teachers.engines import make_engine
from ssld.teachers.onednn import OneDNNEngine

slow = pytest.mark.slow
# backbone, width of the features; those without a row in stages.py are found by running them
NETWORKS = [("SmallResNet", 64), ("MobileNetV3_small_x0_35", 1280), pytest.param("ResNet18_vd", 512, marks=slow),
            pytest.param("SqueezeNet1_0", 512, marks=slow), pytest.param("DeiT_tiny_patch16_224", 192, marks=slow),
            pytest.param("DenseNet121", 1024, marks=slow), pytest.param("EfficientNetB0", 1280, marks=slow)]


def built(name):
    paddle.seed(3)
    network = build_network(name, 5)
    network.eval()
    return network


def image_for(name, count=2):
    size = 32 if name == "SmallResNet" else 224
    return paddle.to_tensor(np.random.default_rng(count).normal(size=(count, 3, size, size)).astype(np.float32))


def answer(network, image) -> np.ndarray:
    with paddle.no_grad():
        return network(image).numpy()


@pytest.mark.parametrize("name, width", NETWORKS)
def test_logits_stay_equal_to_the_bit_and_features_are_what_the_classifier_sees(name, width):
    network, image = built(name), image_for(name)
    expected = answer(network, image)
    wide = WithFeatures(network)
    logits, features = wide.split(answer(wide, image))
    assert wide.feature_dim == width and features.shape == (2, width)
    np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(answer(network, image), expected)
    classifier = [layer for layer in network.sublayers() if isinstance(layer, nn.Linear)][-1:]
    for layer in classifier:
        np.testing.assert_allclose(features @ layer.weight.numpy() + layer.bias.numpy(), logits, rtol=1e-4,
                                   atol=1e-4 * np.abs(logits).max())


@pytest.mark.parametrize("name, width", NETWORKS)
def test_an_exported_program_answers_the_same(name, width):
    network = built(name)
    expected = answer(network, image_for(name, 3))
    wide = WithFeatures(network)
    eager = answer(wide, image_for(name, 3))
    exported = OneDNNEngine(wide, threads=1)(image_for(name, 3)).numpy()
    np.testing.assert_allclose(exported, eager, atol=1e-5 * np.abs(eager).max())
    np.testing.assert_allclose(wide.split(exported)[0], expected, atol=1e-5 * np.abs(eager).max())


def test_every_batch_has_its_own_features():
    wide = WithFeatures(built("SmallResNet"))
    image = image_for("SmallResNet", 4)
    together = answer(wide, image)
    apart = np.concatenate([answer(wide, image[i:i + 1]) for i in range(4)])
    np.testing.assert_allclose(together, apart, atol=1e-5 * np.abs(together).max())
    assert make_engine(wide)(image).shape == [4, 69]


class Strange(nn.Layer):
    """Networks of a kind that stages.py does not know."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind = kind
        self.body = nn.Conv2D(3, 6, 3)
        self.head = nn.Conv2D(6, 4, 1) if kind == "convolution" else nn.Linear(6, 4)
        self.behind = nn.Linear(4, 4)               # made last, but called by nobody

    def forward(self, image):
        x = self.body(image)
        if self.kind == "convolution":
            return self.head(x).mean(axis=[2, 3])
        x = x.mean(axis=[2, 3])
        if self.kind == "list":
            return [self.head(x), x]
        if self.kind == "no layer":
            return x[:, :5]
        return self.head(x)


@pytest.mark.parametrize("kind", ["linear", "convolution"])
def test_the_classifier_of_an_unknown_network_is_the_layer_that_makes_the_logits(kind):
    paddle.seed(0)
    network, image = Strange(kind), image_for("SmallResNet")
    wide = WithFeatures(network, (32, 32))
    _, features = wide.split(answer(wide, image))
    with paddle.no_grad():
        np.testing.assert_allclose(features, network.body(image).mean(axis=[2, 3]).numpy(), rtol=1e-5, atol=1e-6)
    assert wide.feature_dim == 6


@pytest.mark.parametrize("kind, message", [("list", "Strange answers with a list, not with one tensor of logits"),
                                           ("no layer", "no linear layer on pooled features that makes its 5 logits")])
def test_a_network_whose_features_cannot_be_known_is_refused(kind, message):
    with pytest.raises(InputError, match=message):
        WithFeatures(Strange(kind), (32, 32))
