"""Each method in two processes over gloo."""
from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssld.methods import METHODS

pytestmark = pytest.mark.dist

SCRIPT = Path(__file__).resolve().parent / "two_ranks.py"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """The arrays of both processes after five steps, by "method/name"."""
    folder = tmp_path_factory.mktemp("two")
    done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                           folder / "logs", SCRIPT, folder], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr + "".join(f.read_text() for f in (folder / "logs").glob("worker*"))
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


def test_weights_and_banks_of_both_processes_are_the_same_to_the_bit(ranks):
    first, second = ranks
    assert {name.split("/")[0] for name in first} == set(METHODS.names()) and first.keys() == second.keys()
    compared = [name for name in first if not name.endswith(("_mean", "_variance"))]        # the trainer averages these
    for name in compared:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    assert {"CRDLoss/method.student_bank.rows", "CRDLoss/method.teacher_bank.z"} <= set(compared)


@pytest.mark.parametrize("name", ["CRDLoss", "KDLoss", "DKDLoss", "BKDLoss"])
def test_two_processes_with_half_the_batch_equal_one_with_the_whole(ranks, name):
    """Losses that are means over images; the banks have been moved by the images of both."""
    spec = importlib.util.spec_from_file_location("two_ranks", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for key, value in script.train(name).items():
        np.testing.assert_allclose(ranks[0][f"{name}/{key}"], value, atol=1e-5, rtol=1e-5, err_msg=key)
