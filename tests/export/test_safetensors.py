"""The safetensors file is read by the package of that name, and by this package's own reader."""
from __future__ import annotations

import numpy as np
import paddle
import pytest
from safetensors import safe_open
from safetensors.paddle import load_file as load_for_paddle

from ssld.export.safetensors import write_safetensors
from ssld.import_weights.safetensors import read_safetensors
from ssld.models.zoo import build_network


def test_the_package_reads_every_tensor_and_the_header(exported, student):
    with safe_open(str(exported / "student.safetensors"), "np") as file:
        assert file.metadata() == {"format": "pd", "backbone": "MobileNetV3_small_x0_35", "class_num": "5"}
        state = student.network.state_dict()
        assert set(file.keys()) == set(state)
        for name, tensor in state.items():
            np.testing.assert_array_equal(file.get_tensor(name), tensor.numpy(), err_msg=name)


def test_our_own_reader_reads_the_same(exported, student):
    found = read_safetensors(exported / "student.safetensors")
    assert found.keys() == student.network.state_dict().keys()
    for name, tensor in student.network.state_dict().items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), err_msg=name)


@pytest.fixture
def views():
    """Views of tensors, as a process of Paddle has them by itself; safetensors.paddle reads through one."""
    flag = "FLAGS_use_stride_kernel"
    before = paddle.get_flags(flag)
    paddle.set_flags({flag: True})
    yield
    paddle.set_flags(before)


def test_a_fresh_network_takes_it_and_gives_the_same_logits_to_the_bit(exported, student, images, logits, views):
    fresh = build_network(**student.arch)
    assert not any(fresh.set_state_dict(load_for_paddle(str(exported / "student.safetensors"))))
    np.testing.assert_array_equal(logits(fresh, images), logits(student.network, images))


def test_a_file_that_was_changed_underway_is_not_passed_on(student, tmp_path, monkeypatch):
    monkeypatch.setattr("safetensors.numpy.load_file", lambda file: {})
    with pytest.raises(RuntimeError, match="does not hold what was written"):
        write_safetensors(student.network, student.arch, tmp_path)
