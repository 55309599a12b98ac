"""How a loss term is asked for its value and gradient."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.methods.base import Site
from ssld.outputs import Outputs


@pytest.fixture(scope="session")
def loss_of():
    """loss_of(method, z_s, z_t, label) -> (loss, gradient in z_s, gradient in z_t or None) as numpy."""
    def loss(method, z_s, z_t=None, label=None, dtype="float32"):
        student = paddle.to_tensor(np.asarray(z_s), dtype=dtype, stop_gradient=False)
        teacher = None if z_t is None else paddle.to_tensor(np.asarray(z_t), dtype=dtype, stop_gradient=False)
        batch = {} if label is None else {"label": paddle.to_tensor(np.asarray(label), dtype="int64")}
        value = method(Outputs(student), None if teacher is None else Outputs(teacher), batch)
        value.backward()
        return float(value), student.grad.numpy(), None if teacher is None or teacher.grad is None else teacher.grad.numpy()
    return loss


@pytest.fixture
def logits():
    """Two arrays of logits [16, 10] with gaps of up to about 20."""
    rng = np.random.default_rng(5)
    return rng.normal(0, 4, (16, 10)), rng.normal(0, 4, (16, 10))


@pytest.fixture(scope="session")
def loss_of_features():
    """loss_of_features(method, f_s, f_t, **batch) -> (loss, {tap: gradient of the student's feature}) as numpy.

    f_s and f_t are one array, the feature "pool", or several by tap name; no gradient may reach f_t.
    """
    def loss(method, f_s, f_t, dtype="float32", **batch):
        student, teacher = ({name: paddle.to_tensor(value, dtype=dtype, stop_gradient=False)
                             for name, value in (f if isinstance(f, dict) else {"pool": f}).items()} for f in (f_s, f_t))
        batch = {name: paddle.to_tensor(value) for name, value in batch.items()}
        value = method(Outputs(None, student), Outputs(None, teacher), batch)
        value.backward()
        assert all(each.grad is None for each in teacher.values())
        return float(value), {name: each.grad.numpy() for name, each in student.items()}
    return loss


@pytest.fixture(scope="session")
def site_of():
    """The Site of two networks whose features have the given shapes; one shape alone is that of "pool"."""
    def site(student, teacher, labels=(0, 1), seed=0) -> Site:
        return Site(*(shapes if isinstance(shapes, dict) else {"pool": shapes} for shapes in (student, teacher)),
                    np.asarray(labels, np.int64), seed)
    return site


@pytest.fixture(scope="session")
def weights_of():
    """What a method trains, by name, float64."""
    return lambda method: {name: value.numpy().astype(np.float64) for name, value in method.named_parameters()
                           if not value.stop_gradient}
