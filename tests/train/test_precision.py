from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.train.precision import Precision


@pytest.mark.parametrize("options", [{}, {"use_amp": True}, {"use_amp": True, "level": "O2", "dtype": "bfloat16"}])
def test_on_the_cpu_nothing_is_cast_or_scaled(options, capsys):
    precision = Precision(**options)
    assert not precision.enabled and bool(options) == ("AMP.use_amp has no effect on the CPU" in capsys.readouterr().err)
    weight = paddle.create_parameter([2, 2], "float32")
    with precision.cast():
        product = weight @ weight
    assert product.dtype == paddle.float32
    expected = paddle.grad(product.sum(), weight, retain_graph=True)[0].numpy()
    before = weight.numpy().copy()
    precision.backward(product.sum())
    precision.step(paddle.optimizer.SGD(0.1, [weight]))
    assert weight.numpy() == pytest.approx(before - 0.1 * expected, abs=1e-6)


@pytest.mark.parametrize("options, message", [({"level": "O3"}, "AMP.level cannot be 'O3'"),
                                              ({"dtype": "float8"}, "AMP.dtype cannot be 'float8'"),
                                              ({"use_amp": "yes"}, "AMP.use_amp cannot be 'yes'"),
                                              ({"scale_loss": 0}, "AMP.scale_loss must be a number above 0"),
                                              ({"scale_loss": "x"}, "AMP.scale_loss must be a number above 0")])
def test_a_wrong_value_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Precision(**options)


@pytest.fixture
def scaling(monkeypatch):
    """A Precision whose GradScaler is switched on, as on a GPU."""
    class OnGpu:
        class _expected_place:
            is_gpu_place = staticmethod(lambda: True)

    def make(**options):
        monkeypatch.setattr("ssld.train.precision.paddle.get_device", lambda: "gpu:0")
        with monkeypatch.context() as patch:
            patch.setattr("paddle.amp.grad_scaler._dygraph_tracer", lambda: OnGpu)
            return Precision(use_amp=True, **options)
    return make


def test_the_loss_scale_and_its_counters_go_on_where_they_were(scaling):
    first, second = scaling(scale_loss=1024.0), scaling(scale_loss=65536.0)
    first.scaler._scale = paddle.to_tensor([256.0])            # after two overflows
    first.scaler._incr_count, first.scaler._decr_count = 17, 1
    state = first.state()
    assert all(isinstance(value, np.ndarray) and not value.dtype.hasobject for value in state.values())
    second.restore(state)
    assert second.scaler.state_dict() == first.scaler.state_dict()
    assert float(second.scaler._scale) == 256.0 and second.scaler._incr_count == 17 and second.scaler._decr_count == 1
    assert isinstance(second.scaler._incr_count, int) and second.scaler._use_dynamic_loss_scaling is True


def test_where_nothing_is_scaled_there_is_no_state():
    precision = Precision(use_amp=True)
    assert precision.state() == {}
    precision.restore({})
