from __future__ import annotations

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
                                              ({"dtype": "float8"}, "AMP.dtype cannot be 'float8'")])
def test_an_unknown_level_or_type_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        Precision(**options)
