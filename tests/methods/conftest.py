"""How a loss term is asked for its value and gradient."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

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
