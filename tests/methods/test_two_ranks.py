"""Each method in two processes over gloo."""
from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssld.methods import METHODS
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network

pytestmark = pytest.mark.dist

SCRIPT = Path(__file__).resolve().parent / "two_ranks.py"
_SIGNS = "methods.0.projections.0.signs"          # of VkDLoss's projection


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("two_ranks", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, make_list, settings_of, changed, script):
    """The arrays of both processes, by the names that two_ranks.py gives them."""
    folder = tmp_path_factory.mktemp("two")
    make_list(folder, "train", script.IMAGES)
    save_weights(build_network("SmallResNet", script.CLASSES, width=8), folder / "teacher.pdparams")
    teacher = {"name": "SmallResNet", "class_num": script.CLASSES, "width": 8, "engine": "eager",
               "pretrained": str(folder / "teacher.pdparams")}
    settings = changed(settings_of(folder, batch_size=4, epochs=1, iter_per_epoch=script.STEPS),
                       {"Arch.teacher": teacher, "DataLoader.Eval": None})
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                           folder / "logs", SCRIPT, folder], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr + "".join(f.read_text() for f in (folder / "logs").glob("worker*"))
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


def arrays_of(of_rank: dict, when: str, method: str) -> dict:
    prefix = f"{when}/{method}/"
    return {name[len(prefix):]: value for name, value in of_rank.items() if name.startswith(prefix)}


@pytest.mark.parametrize("name", METHODS.names())
def test_after_five_steps_of_the_trainer_both_processes_hold_the_same_weights_and_banks_to_the_bit(ranks, name):
    first, second = (arrays_of(of_rank, "trained", name) for of_rank in ranks)
    before = arrays_of(ranks[0], "start", name)
    assert not np.intersect1d(*(of_rank[f"rows/{name}"][0] for of_rank in ranks)).size
    assert first and first.keys() == second.keys() == before.keys()
    for key, value in first.items():
        np.testing.assert_array_equal(value, second[key], err_msg=key)
    # the attention does not see the bias of its keys: all scores of a query move alike
    still = {key for key, value in first.items() if np.array_equal(value, before[key]) and not key.endswith("to_key.bias")}
    classifier = {key for key in first if key.startswith("student.fc.")}
    assert still == (classifier if METHODS.get(name, "").needs & {"features"} else set()) | ({_SIGNS} & set(first))


def test_banks_are_among_what_is_compared(ranks):
    found = arrays_of(ranks[0], "trained", "CRDLoss")
    assert {"methods.0.student_bank.rows", "methods.0.teacher_bank.rows", "methods.0.student_bank.z"} <= set(found)


@pytest.mark.parametrize("name", ["BKDLoss", "CRDLoss", "DKDLoss", "KDLoss"])
def test_two_processes_with_half_the_batch_equal_one_with_the_whole(ranks, script, name):
    """Losses that are means over images; the banks have been moved by the images of both."""
    for key, value in script.train(name).items():
        np.testing.assert_allclose(ranks[0][key], value, atol=1e-5, rtol=1e-5, err_msg=key)
