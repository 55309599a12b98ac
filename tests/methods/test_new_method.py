"""What it takes to add a method: one file, whether it lies in the package or is a script of one's own."""
from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

ROOT = Path(__file__).resolve().parents[2]


def written_in_the_docs() -> str:
    """The method that docs/methods/README.md shows."""
    return re.search(r"```python\n(.*?)```", (ROOT / "docs" / "methods" / "README.md").read_text(), re.DOTALL)[1]


@pytest.fixture
def command(tmp_path, request):
    """The beginning of a command line that knows the new method, and where to run it."""
    root = tmp_path / "clone"
    if request.param == "a script of one's own":
        root.mkdir()
        (root / "toy.py").write_text(written_in_the_docs())
        (root / "ssld").symlink_to(ROOT / "ssld")
        (root / "dedup").symlink_to(ROOT / "dedup")
        return [sys.executable, "toy.py"], root
    for package in ("ssld", "dedup"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "ssld" / "methods" / "toy.py").write_text(written_in_the_docs())
    return [sys.executable, "-m", "ssld"], root


@pytest.mark.parametrize("command", ["a file in the package", "a script of one's own"], indirect=True)
def test_a_new_method_is_one_file_and_then_it_trains_and_is_listed(command, tiny, tmp_path):
    weights = tmp_path / "teacher.pdparams"
    save_weights(build_network("SmallResNet", 4, width=8), weights)
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "pretrained": str(weights)}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny))
    start, root = command

    def run(*arguments) -> str:
        done = subprocess.run([*start, *arguments], cwd=root, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    lines = run("list", "methods").splitlines()
    place = lines.index(f"{'ToyLoss':32} Distance of pooled features, the student's behind a linear layer.")
    assert lines[place + 1:place + 3] == [
        '    paper   Toy et al., "Toys that teach", TOY 2031, arXiv:3101.00001',
        "    needs   teacher: features (pool); student: features (pool)"]
    run("train", "-c", str(tmp_path / "run.yaml"), "-o", "Loss.Train=[{ToyLoss: {power: 1.5, weight: 0.5}}]", "-o",
        "Global.epochs=2")
    steps = [event for event in read_events(tmp_path / "run") if event["event"] == "train"]
    assert len(steps) == 6 and all(list(step["parts"]) == ["ToyLoss"] for step in steps)
    assert steps[0]["loss"] == pytest.approx(0.5 * steps[0]["parts"]["ToyLoss"]) != 0
    state = latest_checkpoint(tmp_path / "run").training_state()
    assert state["model/methods.0.project.weight"].shape == (16, 32)
    assert state["optimizer/methods.0.project.weight/velocity_0"].any()         # its own layer trains along
