from __future__ import annotations

import os
import platform
import subprocess
import sys

import numpy as np
import paddle
import pytest

from ssld import device
from ssld.errors import InputError


def test_auto_is_the_cpu_where_there_is_nothing_else(monkeypatch):
    monkeypatch.setattr(paddle, "is_compiled_with_cuda", lambda: False)
    assert device.start("auto") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "gpuu", "cpu0"])
def test_a_device_that_does_not_exist_is_refused_with_what_would_do(name):
    with pytest.raises(InputError, match=f"Global.device: '{name}' cannot be used.*Use device: cpu or auto"):
        device.start(name)


def test_a_gpu_is_refused_by_a_paddle_without_one():
    if paddle.is_compiled_with_cuda():
        pytest.skip("this Paddle has GPU support")
    with pytest.raises(InputError, match="'gpu' cannot be used"):
        device.start("gpu")


def test_the_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.delenv("PADDLE_LOCAL_SIZE", raising=False)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert device.cpu_threads() == 8
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "4")
    assert device.cpu_threads() == 2
    monkeypatch.setenv("PADDLE_LOCAL_SIZE", "16")
    assert device.cpu_threads() == 1


def test_a_worker_that_is_to_have_one_thread_has_one(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    assert device.cpu_threads() == 1


def test_a_process_alone_is_the_main_one_and_waits_for_nobody():
    assert (device.rank(), device.world_size(), device.is_main()) == (0, 1, True)
    device.wait_for_all()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so eagerly")
def test_memory_that_is_freed_comes_again_without_new_pages():
    script = """
import resource, numpy as np
from ssld.device import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(10_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(); given_back = faults(); keep_memory(); faults(); print(given_back, faults())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    given_back, kept = map(int, done.stdout.split()[-2:])
    assert kept * 20 < given_back


def test_slices_are_copies_on_a_cpu_and_their_values_and_gradients_the_same():
    def attends() -> list[np.ndarray]:
        tokens = paddle.to_tensor(np.random.default_rng(0).normal(size=(3, 2, 5, 4)).astype(np.float32), stop_gradient=False)
        query, key, value = tokens[0], tokens[1].transpose([0, 2, 1]), tokens[2]
        assert key.is_contiguous() == copies
        read = paddle.matmul(paddle.nn.functional.softmax(paddle.matmul(query, key)), value)
        (read ** 2).sum().backward()
        return [read.numpy(), tokens.grad.numpy()]

    found = {}
    try:
        for copies in (False, True):
            device.copy_slices(copies)
            found[copies] = attends()
    finally:
        device.copy_slices(False)
    for viewed, copied in zip(found[False], found[True]):
        np.testing.assert_allclose(copied, viewed, rtol=1e-6, atol=1e-7)
    device.start("cpu")
    try:
        assert paddle.ones([2, 3]).transpose([1, 0]).is_contiguous()
    finally:
        device.copy_slices(False)
