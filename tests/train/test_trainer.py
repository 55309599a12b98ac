from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from ssld.errors import InputError
from ssld.methods.ce import CELoss
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.optim.schedules import Cosine
from ssld.teachers.live import LiveTeacher
from ssld.timetable import Timetable
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events
from ssld.train.trainer import Trainer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def teacher(tmp_path):
    """Arch settings of a teacher with weights."""
    paddle.seed(9)
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    return {"name": "SmallResNet", "class_num": 4, "width": 8, "pretrained": str(tmp_path / "teacher"), "engine": "eager"}


@pytest.mark.parametrize("stop, options", [
    (4, {"Global": {"epochs": 2, "save_steps": 2}}),
    (5, {"Global": {"epochs": 2, "save_steps": 2}, "EMA": {"decay": 0.5}}),             # step 5 happens twice
    (5, {"Global": {"epochs": 2}, "Optimizer": {"name": "AdamW", "weight_decay": 0.1}}),
    (5, {"Global": {"epochs": 2}, "Optimizer": {"name": "Lamb"}}),
    (2, {"Global": {"epochs": 4, "save_steps": 1, "update_freq": 2, "iter_per_epoch": 2}, "EMA": {"decay": 0.9}}),
])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(run, stop_at, assert_same_run, stop, options):
    whole = run("whole", **options)
    stop_at(stop)
    with pytest.raises(KeyboardInterrupt):
        run("cut", **options)
    saved = latest_checkpoint(whole.with_name("cut"))
    assert saved.step < latest_checkpoint(whole).step
    stop_at(None)
    assert_same_run(run("cut", **options), whole)
    assert [e["first_step"] for e in read_events(whole.with_name("cut")) if e["event"] == "start"] == [0, saved.step]


def test_a_resumed_distillation_equals_an_uninterrupted_one_to_the_bit(run, stop_at, assert_same_run, teacher):
    options = {"Global": {"epochs": 2, "save_steps": 2}, "Arch": {"teacher": teacher},
               "Loss": {"Train": [{"JSDivLoss": {"warmup_epochs": 1}}, {"CELoss": {"weight": 0.5}}]}}
    whole = run("whole", **options)
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):
        run("cut", **options)
    stop_at(None)
    assert_same_run(run("cut", **options), whole)


def test_a_killed_process_goes_on_with_the_same_command_as_if_nothing_had_happened(tiny, tmp_path, run, assert_same_run):
    changes = {"Global": {"epochs": 16, "save_steps": 4, "eval_interval": 8}, "EMA": {"decay": 0.9}}
    whole = run("whole", **changes)
    for section, settings in changes.items():
        tiny.setdefault(section, {}).update(settings)
    tiny["Global"]["output_dir"] = str(tmp_path / "killed")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tiny))
    command = [sys.executable, ROOT / "tools" / "train.py", "-c", tmp_path / "run.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None and not (tmp_path / "killed" / "checkpoints" / "step_00000012").exists():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 12 <= latest_checkpoint(tmp_path / "killed").step < 48
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and "going on: " in done.stdout, done.stderr
    assert_same_run(tmp_path / "killed", whole)


def test_a_finished_run_is_not_trained_further(run, assert_same_run, capsys):
    folder = run()
    before = (folder / "latest" / "training.npz").read_bytes()
    run()
    assert "already finished" in capsys.readouterr().out
    assert (folder / "latest" / "training.npz").read_bytes() == before


def test_half_the_batch_accumulated_twice_equals_the_whole_batch(run, tiny, without_batch_norm, left_by):
    tiny["Arch"]["student"]["trainable"] = without_batch_norm
    whole = run("whole", Global={"epochs": 3})
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    halves = run("halves", Global={"epochs": 3, "update_freq": 2})
    assert latest_checkpoint(whole).step == latest_checkpoint(halves).step == 9
    start = run("start", dry_run=True, Global={"epochs": 3})
    assert not start.exists()
    for name, value in left_by(whole)[1].items():
        np.testing.assert_allclose(left_by(halves)[1][name], value, atol=1e-5, err_msg=name)


def test_the_loss_falls(run):
    folder = run(Global={"epochs": 20, "eval_interval": 20})
    losses = [event["loss"] for event in read_events(folder) if event["event"] == "train"]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


def test_the_rate_of_each_step_is_the_schedules(run):
    folder = run(Global={"epochs": 2})
    logged = [event["lr"] for event in read_events(folder) if event["event"] == "train"]
    rate = Cosine(0.05, warmup_epoch=0.5, timetable=Timetable.uniform(2, 3))
    assert logged == pytest.approx([rate(step) for step in range(6)])


def test_the_log_shows_unweighted_losses_whose_weighted_sum_is_the_total(run):
    folder = run(Loss={"Train": [{"CELoss": {"weight": 2}}, {"CELoss": {"weight": 0.5, "epsilon": 0.3}}]})
    for event in (e for e in read_events(folder) if e["event"] == "train"):
        assert event["loss"] == pytest.approx(2 * event["parts"]["CELoss"] + 0.5 * event["parts"]["CELoss_2"], rel=1e-5)


@pytest.mark.parametrize("settings, evaluated, saved", [
    ({}, [3, 6, 9, 12], [3, 6, 9, 12]),
    ({"eval_interval": 3}, [9, 12], [3, 6, 9, 12]),
    ({"eval_interval": 2, "save_interval": 3}, [6, 12], [6, 9, 12]),
    ({"start_eval_epoch": 3, "save_interval": 4}, [9, 12], [9, 12]),
    ({"eval_during_train": False, "save_interval": 2}, [12], [6, 12]),
    ({"save_steps": 5, "save_interval": 4, "eval_interval": 4}, [12], [5, 10, 12])])
def test_evaluations_and_checkpoints_come_when_they_are_due(run, settings, evaluated, saved):
    folder = run(Global={"epochs": 4, "keep_checkpoints": 9, **settings})
    events = read_events(folder)
    assert [e["step"] for e in events if e["event"] == "eval"] == evaluated
    assert [e["step"] for e in events if e["event"] == "checkpoint"] == saved
    assert sorted(int(path.name[5:]) for path in (folder / "checkpoints").iterdir()) == saved


def test_the_best_checkpoint_is_the_first_with_the_highest_accuracy_and_survives_a_resumption(run, stop_at):
    whole = run("whole", Global={"epochs": 6})
    events = [e for e in read_events(whole) if e["event"] == "eval"]
    best = max(events, key=lambda e: (e["top1"], -e["step"]))
    assert (whole / "best").resolve().name == f"step_{best['step']:08d}"
    assert latest_checkpoint(whole).card["best"]["top1"] == best["top1"]
    stop_at(16)
    with pytest.raises(KeyboardInterrupt):
        run("cut", Global={"epochs": 6})
    stop_at(None)
    cut = run("cut", Global={"epochs": 6})
    assert (cut / "best").resolve().name == (whole / "best").resolve().name


def test_with_an_average_the_student_is_the_average_and_training_goes_on_from_the_raw_weights(run, left_by):
    training, student, _, _ = left_by(run(Global={"epochs": 2}, EMA={"decay": 0.9}))
    for name, value in student.items():
        np.testing.assert_array_equal(training[f"ema/{name}"], value)
    assert any((training[f"model/student.{name}"] != value).any() for name, value in student.items())


def test_the_teacher_is_asked_about_training_batches_only(run, tiny, teacher, monkeypatch):
    asked, original = [], LiveTeacher.__call__
    monkeypatch.setattr(LiveTeacher, "__call__", lambda self, batch: asked.append(1) or original(self, batch))
    run(Global={"epochs": 4}, Arch={"teacher": teacher}, Loss={"Train": [{"JSDivLoss": {}}]})
    assert len(asked) == 12                                     # four epochs of three steps; four evaluations


def test_without_an_evaluation_list_a_run_has_a_latest_but_no_best(run, tiny):
    del tiny["DataLoader"]["Eval"]
    folder = run()
    assert (folder / "latest").exists() and not (folder / "best").exists()
    assert not [e for e in read_events(folder) if e["event"] == "eval"]


@pytest.mark.parametrize("average", [{}, {"decay": 0.9}])
def test_only_the_classifier_differs_from_the_input_file_when_only_it_trains(run, tiny, tmp_path, left_by, average):
    network = build_network("SmallResNet", 4, width=4)
    save_weights(network, tmp_path / "start.pdparams")
    tiny["Arch"]["student"].update(pretrained=str(tmp_path / "start"), trainable=["classifier"])
    start, end = read_state(tmp_path / "start"), left_by(run(Global={"epochs": 2}, EMA=average))[1]
    assert {name for name in start if not np.array_equal(start[name], end[name])} == {"fc.weight", "fc.bias"}


def test_a_loss_that_is_not_finite_stops_the_run_names_the_images_and_keeps_the_last_checkpoint(run, tmp_path, monkeypatch):
    original, calls = CELoss.forward, []

    def forward(self, *args):
        calls.append(1)
        return original(self, *args) * (float("nan") if len(calls) == 5 else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(CELoss, "forward", forward)
        with pytest.raises(InputError, match=r"not finite at step 5: CELoss = nan\. The batch's 8 images are listed in .*"
                                             r"not_finite_rank0\.txt; the first is .*train\.txt:\d+ \(train/\d+\.jpg\)"):
            run(Global={"epochs": 3})
    assert latest_checkpoint(tmp_path / "run").step == 3
    files = (tmp_path / "run" / "not_finite_rank0.txt").read_text().splitlines()
    assert len(set(files)) == 8 and all("train.txt:" in file for file in files)
    run(Global={"epochs": 3})                                   # the same command goes on
    assert latest_checkpoint(tmp_path / "run").step == 9


def test_a_loss_that_is_not_finite_is_seen_before_a_report_or_checkpoint_and_its_own_step_is_named(run, tmp_path, monkeypatch):
    original, rows = CELoss.forward, []

    def forward(self, student, teacher, batch):
        rows.append(batch["index"].numpy())
        return original(self, student, teacher, batch) * (float("nan") if len(rows) == 5 else 1.0)

    monkeypatch.setattr(CELoss, "forward", forward)
    with pytest.raises(InputError, match="the loss is not finite at step 5: CELoss = nan"):
        run(Global={"epochs": 3, "print_batch_step": 10})
    assert len(rows) == 6 and latest_checkpoint(tmp_path / "run").step == 3         # the checkpoint of step 6 was due
    files = (tmp_path / "run" / "not_finite_rank0.txt").read_text().splitlines()
    assert [int(file.split("train.txt:")[1].split()[0]) - 1 for file in files] == rows[4].tolist()


def test_weights_that_are_not_finite_are_never_saved(run, tmp_path, monkeypatch):
    original = Trainer._end_of_step

    def end_of_step(self):
        if self.step == 6:
            self.model.student.fc.bias.set_value(paddle.full([4], float("inf")))
        return original(self)

    monkeypatch.setattr(Trainer, "_end_of_step", end_of_step)
    with pytest.raises(InputError, match="step 6 left 1 tensors that are not finite, such as model/student.fc.bias"):
        run(Global={"epochs": 3})
    assert latest_checkpoint(tmp_path / "run").step == 3


def test_an_unreadable_image_is_replaced_named_once_and_counted(run, tiny, tmp_path, capsys):
    (tmp_path / "train" / "5.jpg").write_bytes(b"")
    tiny["DataLoader"]["Train"]["dataset"]["max_bad_fraction"] = 0.05
    folder = run(Global={"epochs": 3})
    assert capsys.readouterr().err.count("train.txt:6 (train/5.jpg) cannot be read; another image takes its place") == 1
    assert [e for e in read_events(folder) if e["event"] == "train"][-1]["unreadable"] == 1


def test_too_many_unreadable_images_stop_the_run(run, tmp_path):
    (tmp_path / "train" / "5.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"(?s)1 of 24 images cannot be read, more than max_bad_fraction 0\.001.*train/5\.jpg"):
        run()
