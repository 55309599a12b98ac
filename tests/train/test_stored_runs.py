"""Training from stored soft labels, start to end."""
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from ssld.errors import InputError
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

ROOT = Path(__file__).resolve().parents[2]
MIXING = [{"OpSampler": {"MixupOperator": {"alpha": 0.8, "prob": 0.5}, "CutmixOperator": {"alpha": 1.0, "prob": 0.5}}}]


@pytest.mark.parametrize("stop", [5, 13])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(run, stop_at, assert_same_run, stored, stop):
    stored["DataLoader"]["Train"]["dataset"]["batch_transform_ops"] = MIXING
    settings = {"Global": {"epochs": 5, "save_steps": 2}}           # passes of 6, 6, 3, 3 steps
    stored["Arch"]["teacher"]["policy"] = "cover"
    whole = run("whole", **settings)
    stop_at(stop)
    with pytest.raises(KeyboardInterrupt):
        run("cut", **settings)
    stop_at(None)
    assert_same_run(run("cut", **settings), whole)


def test_evaluations_and_checkpoints_come_at_the_ends_of_passes(run, stored):
    folder = run(Global={"epochs": 6, "keep_checkpoints": 9})
    assert [e["step"] for e in read_events(folder) if e["event"] == "eval"] == [6, 12, 15, 18]
    assert [e["epoch"] for e in read_events(folder) if e["event"] == "eval"] == [2, 4, 5, 6]
    other = run("every_fourth", Global={"epochs": 6, "eval_interval": 4, "save_interval": 4})
    assert [e["step"] for e in read_events(other) if e["event"] == "eval"] == [12, 18]


def test_the_log_shows_how_far_the_loss_is_above_what_is_possible(run, stored):
    events = [e for e in read_events(run(Global={"epochs": 3})) if e["event"] == "train"]
    assert all(0 < e["above_minimum"]["SoftCELoss"] < e["loss"] for e in events)


@pytest.mark.parametrize("loss", ["JSDivLoss", "KDLoss", "SoftCELoss"])
def test_methods_on_probabilities_learn_from_stored_labels(run, stored, loss):
    stored["Loss"]["Train"] = [{loss: {}}]
    folder = run(Global={"epochs": 16, "eval_interval": 16})
    losses = [e["loss"] for e in read_events(folder) if e["event"] == "train"]
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def test_a_store_that_changed_under_a_run_is_refused(run, stop_at, stored, tmp_path, make_store):
    stop_at(4)
    with pytest.raises(KeyboardInterrupt):
        run(Global={"epochs": 2, "save_steps": 2})
    stop_at(None)
    make_store(tmp_path / "others", tmp_path / "train.txt", seed=6)
    (tmp_path / "labels").rename(tmp_path / "old")
    (tmp_path / "others").rename(tmp_path / "labels")
    with pytest.raises(InputError, match="was taught by .*labels .*Put the original file back"):
        run(Global={"epochs": 2, "save_steps": 2})


def test_an_altered_shard_is_found_before_the_first_step(run, stored, tmp_path):
    shard = tmp_path / "labels" / "shard-00000.bin"
    content = bytearray(shard.read_bytes())
    content[11] ^= 1
    shard.write_bytes(content)
    with pytest.raises(InputError, match="shard-00000.bin was altered"):
        run()


def test_the_survey_of_ferkd_is_shown_and_kept(run, stored, capsys):
    stored["Arch"]["teacher"]["ferkd"] = {"discard_below": 0.3, "hard_below": 0.6, "discard_above": 0.95, "epsilon": 0.1}
    folder = run()
    said = capsys.readouterr().out
    assert "24 of 24 images looked at" in said and "FerKD" in (folder / "teacher.json").read_text()


def test_a_list_beside_unlabelled_images_trains_from_labels_of_the_teacher(run, stored, tmp_path):
    lines = (tmp_path / "train.txt").read_text().splitlines()
    (tmp_path / "train.txt").write_text("".join(line.split()[0] + "\n" for line in lines))
    assert latest_checkpoint(run()).step == 3


@pytest.mark.dist
def test_two_processes_with_half_the_batch_equal_one_with_the_whole(run, stored, tmp_path, without_batch_norm):
    stored["Arch"]["student"]["trainable"] = without_batch_norm
    one = run("one", Global={"epochs": 3})
    stored["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    stored["Global"].update(epochs=3, output_dir=str(tmp_path / "two"))
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(stored))
    done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                           tmp_path / "logs", ROOT / "tools" / "train.py", "-c", tmp_path / "run.yaml"], capture_output=True,
                          text=True, timeout=300)
    assert done.returncode == 0, "".join(file.read_text() for file in (tmp_path / "logs").glob("workerlog.*"))
    expected, found = (latest_checkpoint(folder) for folder in (one, tmp_path / "two"))
    assert expected.step == found.step == 6 + 3
    for name, value in expected.training_state().items():
        np.testing.assert_allclose(found.training_state()[name], value, atol=1e-5, err_msg=name)
