"""ScaleKD in two processes over gloo: projectors and student are synchronised, the teacher's layers take no part."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssld.models.weights import save_weights
from ssld.models.zoo import build_network

pytestmark = pytest.mark.dist

SCRIPT = Path(__file__).resolve().parent / "two_ranks.py"
SWIN = {"name": "SmallSwin", "class_num": 4, "img_size": 16, "patch": 1, "width": 4, "window": 2, "heads": [1, 1, 2, 2]}


def test_both_processes_end_with_the_same_student_and_projectors(tiny, tmp_path):
    save_weights(build_network(**SWIN), tmp_path / "teacher.pdparams")
    tiny["Arch"]["teacher"] = {**SWIN, "engine": "eager", "pretrained": str(tmp_path / "teacher")}
    tiny["Loss"]["Train"] = [{"CELoss": {"weight": 0.5}}, {"KDLoss": {"weight": 0.5}},
                             {"ScaleKDLoss": {"heads": [2, 4], "student_taps": ["stage2", "stage3"]}}]
    tiny["Global"].update(epochs=1, iter_per_epoch=2, output_dir=str(tmp_path / "two"))
    tiny["DataLoader"].pop("Eval")
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny))
    done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                           tmp_path / "logs", SCRIPT, tmp_path / "run.yaml"], cwd=tmp_path, capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr + "".join(f.read_text() for f in (tmp_path / "logs").glob("worker*"))
    with np.load(tmp_path / "two" / "rank0.npz") as first, np.load(tmp_path / "two" / "rank1.npz") as second:
        trained = [name for name in first.files if not name.endswith(("_mean", "_variance"))]      # the trainer averages these
        assert any(name.startswith("methods.") and "projectors" in name for name in trained)
        for name in trained:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
