from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.distiller import Distiller, Term
from ssld.errors import InputError
from ssld.methods.ce import CELoss
from ssld.models.freeze import Frozen
from ssld.models.zoo import build_network
from ssld.optim.optimizers import AdamW, Momentum


def arrays(network) -> dict:
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


@pytest.fixture
def batch():
    paddle.seed(2)
    return {"image": paddle.randn([4, 3, 32, 32]) * 3, "label": paddle.to_tensor([0, 1, 2, 0])}


@pytest.mark.parametrize("name", ["MobileNetV3_large_x0_35", "SmallResNet"])
@pytest.mark.parametrize("make", [Momentum, AdamW])
def test_after_training_the_classifier_everything_else_is_equal_to_the_bit(batch, name, make):
    network = build_network(name, 3)
    frozen = Frozen(network, ["classifier"])
    distiller = Distiller(network, None, [Term(CELoss())], frozen)
    optimizer = make(network=distiller, learning_rate=0.1, weight_decay=0.1)
    before, fingerprint = arrays(network), frozen.fingerprint()
    for _ in range(2):                          # the second round follows an evaluation, as in a real run
        distiller.train()
        distiller(batch).total.backward()
        optimizer.step()
        optimizer.clear_grad()
        distiller.eval()
        network(batch["image"])
    distiller.train()
    after = arrays(network)
    moved = {key for key in before if not np.array_equal(before[key], after[key])}
    assert moved == {"fc.weight", "fc.bias"} and frozen.fingerprint() == fingerprint


def test_without_freezing_the_same_step_moves_statistics(batch):
    network = build_network("SmallResNet", 3)
    before = arrays(network)
    network.train()
    network(batch["image"])
    assert any(not np.array_equal(before[key], value) for key, value in arrays(network).items() if "_mean" in key)


def test_dropout_before_the_classifier_is_off(batch):
    network = build_network("MobileNetV3_large_x0_35", 3, dropout_prob=0.9)
    distiller = Distiller(network, None, [Term(CELoss())], Frozen(network, ["classifier"]))
    distiller.train()
    np.testing.assert_array_equal(network(batch["image"]).numpy(), network(batch["image"]).numpy())
    assert not any(layer.training for layer in network.sublayers() if isinstance(layer, nn.Dropout))


def test_the_trainable_part_is_in_training_mode_with_its_batch_norm(batch):
    network = build_network("SmallResNet", 3)
    distiller = Distiller(network, None, [Term(CELoss())], Frozen(network, ["stage3", "fc"]))
    distiller.train()
    before = arrays(network)
    distiller(batch)
    moved = {key for key, value in arrays(network).items() if not np.array_equal(before[key], value)}
    assert moved and all(key.startswith("stage3.") for key in moved)


def test_an_optimizer_gets_only_what_trains():
    network = build_network("SmallResNet", 3)
    Frozen(network, ["classifier"])
    assert len(Momentum(network, 0.1)._parameter_list) == 2


def test_the_fingerprint_notices_a_moved_statistic_and_ignores_the_classifier():
    network = build_network("SmallResNet", 3)
    frozen = Frozen(network, ["fc"])
    before = frozen.fingerprint()
    network.fc.bias.set_value(network.fc.bias + 1)
    assert frozen.fingerprint() == before
    network.stem[1]._mean.set_value(network.stem[1]._mean + 1e-6)
    assert frozen.fingerprint() != before


@pytest.mark.parametrize("prefix", ["f", "stage", "stage4", "fc.weigh"])
def test_a_prefix_that_fits_no_parameter_is_refused_with_those_that_would(prefix):
    with pytest.raises(InputError, match=f"begins with '{prefix}'. The network has: fc, stage1, stage2, stage3, stem"):
        Frozen(build_network("SmallResNet", 3), [prefix])


@pytest.mark.parametrize("trainable", ["fc", 3, {"fc": 1}, [1]])
def test_what_is_no_list_of_prefixes_is_refused(trainable):
    with pytest.raises(InputError, match=r"trainable must be a list of parameter prefixes such as \[classifier\]"):
        Frozen(build_network("SmallResNet", 3), trainable)
