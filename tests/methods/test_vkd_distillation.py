"""VkD as a whole: a DeiT with two heads learns from a convolutional network."""
from __future__ import annotations

import itertools

import numpy as np
import paddle
import pytest

from ssld.distiller import Distiller, Term
from ssld.methods.ce import CELoss
from ssld.methods.kd import KDLoss
from ssld.methods.vkd import VkDLoss
from ssld.models.deit_conv_stem import DeiTConvStem
from ssld.models.small_resnet import SmallResNet
from ssld.optim.optimizers import AdamW
from ssld.teachers.eager import EagerEngine
from ssld.teachers.live import LiveTeacher

SIZE, CLASSES = 32, 5
TOKENS = {"pairs": [["norm", "pool"]], "student_skip": 2}


def batch(seed=0, count=6):
    rng = np.random.default_rng(seed)
    return {"image": paddle.to_tensor(rng.standard_normal((count, 3, SIZE, SIZE)).astype(np.float32)),
            "label": paddle.to_tensor(rng.integers(0, CLASSES, count)), "index": paddle.arange(count)}


def distiller(*terms, student=None):
    """A student 24 wide, a teacher 32 wide."""
    paddle.seed(0)
    teacher = SmallResNet(CLASSES, width=8)
    student = student or DeiTConvStem(CLASSES, 24, 3, img_size=SIZE)
    model = Distiller(student, LiveTeacher(EagerEngine(teacher)), [Term(method, weight) for method, weight in terms])
    model.attach((SIZE, SIZE), np.zeros(6, np.int64))
    model.train()
    return model


def trained(model, steps=3):
    optimizer = AdamW(network=model, learning_rate=1e-3, weight_decay=0.05, one_dim_param_no_weight_decay=True)
    for seed in range(steps):
        losses = model(batch(seed))
        losses.total.backward()
        optimizer.step()
        optimizer.clear_grad()
    return losses


def test_the_total_is_that_of_both_heads_and_of_the_patches(oracle):
    model = distiller((CELoss(), 1.0), (KDLoss(head="distillation"), 0.5), (VkDLoss(**TOKENS), 2.0))
    losses, seen = model(batch()), model.ask_student(batch())
    teacher = model.teacher(batch())
    formulas = oracle("losses")
    log_p = formulas.log_softmax(seen.logits.numpy().astype(np.float64))
    assert float(losses.parts["CELoss"]) == pytest.approx(-log_p[np.arange(6), batch()["label"].numpy()].mean(), rel=2e-5)
    second = seen.aux["distillation_logits"].numpy()
    assert float(losses.parts["KDLoss"]) == pytest.approx(formulas.kd(second, teacher.logits.numpy(), 1.0), rel=2e-5)
    patches = seen.features["norm"].numpy()[:, 2:].astype(np.float64).mean(1)
    matrix = model.methods[2].projections[0].matrix().numpy().astype(np.float64)
    assert matrix.shape == (32, 24)
    expected = oracle("vkd").loss(patches, matrix, teacher.features["pool"].numpy().astype(np.float64), "layernorm")
    assert float(losses.parts["VkDLoss"]) == pytest.approx(expected, rel=2e-5)
    assert float(losses.total) == pytest.approx(sum(weight * float(part) for weight, part in
                                                    zip((1.0, 0.5, 2.0), losses.parts.values())), rel=1e-6)


@pytest.mark.parametrize("gamma, alpha", itertools.product((0.0, 1.0), repeat=2))
@pytest.mark.parametrize("left_out", [False, True])
def test_it_trains_with_and_without_either_term(gamma, alpha, left_out):
    """A term of weight 0, or none at all."""
    terms = [(CELoss(), 1.0), (KDLoss(head="distillation"), gamma), (VkDLoss(**TOKENS), alpha)]
    model = distiller(*(term for term in terms if term[1] or not left_out))
    before = {name: tensor.numpy().copy() for name, tensor in model.student.state_dict().items()}
    losses = trained(model)
    assert np.isfinite(float(losses.total))
    moved = {name for name, tensor in model.student.state_dict().items() if (tensor.numpy() != before[name]).any()}
    assert {"head.weight", "blocks.0.attn.qkv.weight", "patch_embed.0.weight"} <= moved
    if left_out:
        assert ("head_dist.weight" in moved) == bool(gamma)


def test_the_projection_trains_stays_orthonormal_and_is_not_part_of_the_student():
    model = distiller((VkDLoss(**TOKENS), 1.0))
    before = model.methods[0].projections[0].matrix().numpy()
    trained(model, 20)
    assert model.methods[0].diagnostics()["orthogonality_error"] < 1e-5
    assert np.abs(model.methods[0].projections[0].matrix().numpy() - before).max() > 1e-3
    assert not [name for name in model.student.state_dict() if "projection" in name]
    assert {"methods.0.projections.0.free", "methods.0.projections.0.signs"} <= set(model.state_dict())


def test_the_loss_falls_when_the_student_can_learn_the_teachers_features():
    model = distiller((VkDLoss(), 1.0), student=SmallResNet(CLASSES, width=4))
    first = float(model(batch()).total)
    optimizer = AdamW(network=model, learning_rate=3e-3, weight_decay=0.05)
    for _ in range(30):
        model(batch()).total.backward()
        optimizer.step()
        optimizer.clear_grad()
    assert float(model(batch()).total) < 0.7 * first


def test_evaluation_sees_one_tensor_the_mean_of_both_heads():
    model = distiller((CELoss(), 1.0), (KDLoss(head="distillation"), 1.0))
    seen = {}
    for name in ("head", "head_dist"):
        layer = getattr(model.student, name)
        layer.register_forward_post_hook(lambda layer, inputs, made, name=name: seen.update({name: made}))
    model.eval()
    answer = model.student(batch()["image"])
    np.testing.assert_allclose(answer.numpy(), (seen["head"] + seen["head_dist"]).numpy() / 2, atol=1e-7)
