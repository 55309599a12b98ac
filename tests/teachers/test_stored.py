from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from ssld.methods.js import JSDivLoss
from ssld.methods.kd import KDLoss
from ssld.methods.soft_ce import SoftCELoss
from ssld.outputs import Outputs, log_softmax
from ssld.softlabels.labels import EXCESS, FULL, IDS, REST
from ssld.teachers.stored import StoredTeacher

C = 7


@pytest.fixture
def teacher():
    return StoredTeacher(SimpleNamespace(class_num=C, folder="labels", sha256="ab"))


@pytest.fixture
def batches():
    """The same labels as sparse and as whole distributions."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permutation(C)[:3] for _ in range(5)])
    rest = rng.uniform(0.01, 0.05, 5)
    kept = rng.dirichlet(np.ones(3), 5) * (1 - (C - 3) * rest)[:, None]
    dense = np.repeat(rest[:, None], C, 1)
    np.put_along_axis(dense, ids, kept, 1)
    sparse = {IDS: ids, EXCESS: (kept - rest[:, None]).astype("float32"), REST: rest.astype("float32")}
    return ({k: paddle.to_tensor(v) for k, v in sparse.items()}, {FULL: paddle.to_tensor(dense.astype("float32"))}, dense)


@pytest.fixture
def student():
    return Outputs(paddle.to_tensor(np.random.default_rng(1).normal(0, 3, (5, C)).astype("float32"), stop_gradient=False))


MIX = {"partner": paddle.to_tensor(np.array([3, 0, 1, 4, 2])), "share": paddle.full([5], 0.3)}


@pytest.mark.parametrize("mix", [{}, MIX])
def test_sparse_and_whole_labels_say_the_same(teacher, batches, student, mix):
    sparse, full, dense = batches
    if mix:
        dense = 0.3 * dense + 0.7 * dense[mix["partner"].numpy()]
    log_p = log_softmax(student.logits)
    for batch in (sparse, full):
        said = teacher({**batch, **mix})
        np.testing.assert_allclose(said.probabilities.numpy(), dense, atol=1e-6)
        np.testing.assert_allclose(said.cross_entropy(log_p).numpy(), -(dense * log_p.numpy()).sum(1), rtol=1e-5)
        np.testing.assert_allclose(said.entropy().numpy(), -(dense * np.log(dense)).sum(1), rtol=1e-5)
        np.testing.assert_allclose(log_softmax(said.logits).exp().numpy(), dense, atol=1e-6)


@pytest.mark.parametrize("method", [JSDivLoss(), JSDivLoss("jensen_shannon"), KDLoss(), SoftCELoss(), SoftCELoss(2.0, 2.0)])
@pytest.mark.parametrize("mix", [{}, MIX])
def test_methods_cannot_tell_stored_labels_from_a_live_teacher_of_the_same_opinion(teacher, batches, student, method, mix):
    sparse, _, dense = batches
    if mix:
        dense = 0.3 * dense + 0.7 * dense[mix["partner"].numpy()]
    live = Outputs(paddle.to_tensor(np.log(dense) + 2.5).astype("float32"))         # logits are defined up to a constant
    grads = []
    for said in (live, teacher({**sparse, **mix})):
        student.logits.clear_gradient()
        loss = method(student, said, {})
        loss.backward()
        grads.append((float(loss), student.logits.grad.numpy()))
    assert grads[1][0] == pytest.approx(grads[0][0], rel=2e-5)
    np.testing.assert_allclose(grads[1][1], grads[0][1], atol=1e-4 * abs(grads[0][1]).max())


def test_a_class_that_a_label_leaves_out_has_a_finite_logarithm(teacher):
    said = teacher({FULL: paddle.to_tensor(np.eye(C, dtype="float32")[:2])})
    assert np.isfinite(said.logits.numpy()).all()
    np.testing.assert_allclose(log_softmax(said.logits).exp().numpy(), np.eye(C)[:2], atol=1e-10)
    np.testing.assert_allclose(said.entropy().numpy(), 0, atol=1e-9)
