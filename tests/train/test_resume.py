"""Runs that are killed and go on, with everything that has a state: dropout, AdamW, accumulated gradients, an average."""
from __future__ import annotations

import copy
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssld.train import trainer
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
STATEFUL = {"Global": {"epochs": 2, "update_freq": 2, "iter_per_epoch": 3, "save_steps": 2}, "EMA": {"decay": 0.8},
            "Optimizer": {"name": "AdamW", "weight_decay": 0.1}}


@pytest.fixture
def dropout(tiny):
    """The tiny settings with a student that has dropout, on 32 pixels."""
    tiny["Arch"]["student"] = {"name": "MobileNetV3_small_x0_35", "class_num": 4, "dropout_prob": 0.5}
    for mode, ops in (("Train", [{"RandCropImage": {"size": 32}}, "RandFlipImage"]), ("Eval", [{"ResizeImage": {"size": 32}}])):
        tiny["DataLoader"][mode]["dataset"]["transform_ops"][1:-2] = ops
    return tiny


@pytest.fixture
def command(dropout, tmp_path):
    """The command line of a stateful run into a folder, by way of `script`."""
    def command(output: str, script: Path = ROOT / "tools" / "train.py") -> list:
        data = copy.deepcopy(dropout)
        for name, settings in STATEFUL.items():
            data.setdefault(name, {}).update(settings)
        data["Global"]["output_dir"] = str(tmp_path / output)
        (tmp_path / f"{output}.yaml").write_text(yaml.safe_dump(data))
        return [sys.executable, script, "-c", tmp_path / f"{output}.yaml"]
    return command


def test_dropout_optimizer_average_and_accumulation_go_on_in_the_middle_of_an_epoch(run, dropout, stop_at, assert_same_run):
    whole = run("whole", **STATEFUL)
    stop_at(5)
    with pytest.raises(KeyboardInterrupt):
        run("cut", **STATEFUL)
    stop_at(None)
    assert latest_checkpoint(whole.with_name("cut")).step == 4          # an epoch has three steps
    assert_same_run(run("cut", **STATEFUL), whole)
    for name in ("latest", "best"):
        assert (whole / name).resolve().name == (whole.with_name("cut") / name).resolve().name


def test_the_random_state_of_a_step_decides_the_weights_of_such_a_run(run, dropout, monkeypatch, left_by):
    # were it not for dropout, the test above would say nothing about random states
    first = run("first")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "seed_step", lambda seed, step: None)
        second = run("second")
    assert any((value != left_by(second)[1][name]).any() for name, value in left_by(first)[1].items())


def test_a_process_that_dies_while_it_writes_a_checkpoint_goes_on_as_if_nothing_had_happened(run, command, tmp_path,
                                                                                          assert_same_run):
    whole = run("whole", **STATEFUL)
    died = subprocess.run(command("cut", HERE / "dies_while_saving.py"), capture_output=True, text=True)
    assert died.returncode == 9, died.stderr
    half = tmp_path / "cut" / "checkpoints" / ".step_00000004.tmp"
    assert sorted(file.name for file in half.iterdir()) == ["student.pdparams", "training.npz"]
    assert latest_checkpoint(tmp_path / "cut").step == 3
    assert_same_run(run("cut", **STATEFUL), whole)
    assert not half.exists()


@pytest.mark.slow
def test_a_process_killed_at_random_again_and_again_ends_with_the_same_files(run, command, tmp_path, assert_same_run):
    draw = random.Random(0)
    steps = {"epochs": 5, "save_steps": 1}
    whole = run("whole", **{**STATEFUL, "Global": {**STATEFUL["Global"], **steps}})
    line = [*command("cut"), *(f"-oGlobal.{key}={value}" for key, value in steps.items())]
    kills = 0
    for _ in range(40):
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        before = newest(tmp_path / "cut")
        while process.poll() is None and newest(tmp_path / "cut") < before + 2:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        error = process.communicate()[1]
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, error
        kills += 1
    assert kills > 3
    assert_same_run(tmp_path / "cut", whole)


def newest(folder: Path) -> int:
    return max((int(path.name[5:]) for path in (folder / "checkpoints").glob("step_*")), default=0)


@pytest.mark.dist
def test_two_processes_go_on_to_the_bit_and_save_the_mean_of_their_statistics(dropout, tmp_path, assert_same_run):
    for name, settings in STATEFUL.items():
        dropout.setdefault(name, {}).update(settings)
    dropout["Global"]["output_dir"] = str(tmp_path)
    dropout["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(dropout))
    done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                           tmp_path / "logs", HERE / "two_ranks_resume.py", tmp_path / "run.yaml"], capture_output=True,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_same_run(tmp_path / "cut", tmp_path / "whole")
    assert [e["first_step"] for e in read_events(tmp_path / "cut") if e["event"] == "start"] == [0, 4]
    saved = latest_checkpoint(tmp_path / "whole")
    for prefix, kind in (("model/student.", "model"), ("ema/", "ema")):
        own = [np.load(tmp_path / f"whole_{kind}_rank{rank}.npz") for rank in (0, 1)]
        statistics = [name for name in own[0].files if name.endswith(("_mean", "_variance"))]
        assert statistics and any((own[0][name] != own[1][name]).any() for name in statistics)
        for name in statistics:
            np.testing.assert_array_equal(saved.training_state()[f"{prefix}{name}"], (own[0][name] + own[1][name]) / 2, name)
