"""Two processes over gloo, each with half the batch, against one process with the whole."""
from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from ssld.config import Config
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.students import students_of
from ssld.teachers.onednn import runs_bf16
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import evaluate_weights
from ssld.train.runlog import read_events

pytestmark = pytest.mark.dist

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


@pytest.fixture
def start(tmp_path):
    """Runs a script in two processes on a config; returns exit status and all that was said."""
    def start(script: Path, data: dict, *options: str) -> tuple[int, str]:
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(data))
        done = subprocess.run([sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir",
                               tmp_path / "logs", script, *options, tmp_path / "run.yaml"], cwd=tmp_path, capture_output=True,
                              text=True, timeout=300)
        logs = "".join(file.read_text() for file in (tmp_path / "logs").glob("workerlog.*"))
        return done.returncode, done.stdout + done.stderr + logs
    return start


@pytest.fixture
def launch(start):
    """The same, where nothing may go wrong."""
    def launch(*args) -> None:
        status, said = start(*args)
        assert status == 0, said
    return launch


def test_two_processes_with_half_the_batch_equal_one_with_the_whole(launch, run, tiny, tmp_path, without_batch_norm):
    # batch statistics are those of a process, so batch norm stands still here
    tiny["Arch"]["student"]["trainable"] = without_batch_norm
    tiny["DataLoader"]["Eval"]["sampler"]["batch_size"] = 3
    tiny["Global"].update(epochs=5, iter_per_epoch=2, output_dir=str(tmp_path / "two"))
    one = run("one")
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    launch(HERE / "two_ranks.py", tiny)
    with np.load(tmp_path / "two" / "rank0.npz") as first, np.load(tmp_path / "two" / "rank1.npz") as second:
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
    expected, found = (latest_checkpoint(folder) for folder in (one, tmp_path / "two"))
    assert expected.step == found.step == 10
    for name, value in expected.training_state().items():
        # sums over the batch in another order: float32 rounding, grown over ten steps
        np.testing.assert_allclose(found.training_state()[name], value, atol=1e-5, err_msg=name)
    assert found.card["best"] == expected.card["best"]


def test_accumulated_gradients_of_two_processes_equal_one_large_batch_also_when_images_are_left_over(
        launch, run, tiny, tmp_path, without_batch_norm):
    # 24 images are one batch of 20 and four that are left over, or two of 10, each of them 5 for a process
    tiny["Arch"]["student"]["trainable"] = without_batch_norm
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 20
    one = run("one", Global={"epochs": 4})
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 5
    tiny["Global"].update(epochs=4, update_freq=2, output_dir=str(tmp_path / "two"))
    launch(HERE / "two_ranks.py", tiny)
    expected, found = (latest_checkpoint(folder) for folder in (one, tmp_path / "two"))
    assert expected.step == found.step == 4
    for name, value in expected.training_state().items():
        np.testing.assert_allclose(found.training_state()[name], value, atol=1e-5, err_msg=name)


def test_a_loss_that_is_not_finite_in_one_process_ends_both_with_status_2_and_the_names_of_its_images(start, tiny, tmp_path):
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    # seen two steps later, when the other process's losses are no numbers any more, either
    tiny["Global"].update(epochs=4, output_dir=str(tmp_path / "two"), print_batch_step=10, save_interval=2, eval_interval=2)
    began = time.monotonic()
    status, said = start(HERE / "not_finite_in_rank_1.py", tiny, "-c")
    assert status == 2, said
    main = (tmp_path / "logs" / "workerlog.0").read_text()              # the launcher shows this one
    assert "error: the loss is not finite at step 8: CELoss = nan. The batch's 4 images are listed in" in main
    assert "not_finite_rank1.txt; the first is" in main and "Traceback" not in main
    assert time.monotonic() - began < 120                               # gloo alone would wait for half an hour
    assert len((tmp_path / "two" / "not_finite_rank1.txt").read_text().splitlines()) == 4
    assert not (tmp_path / "two" / "not_finite_rank0.txt").exists()
    assert latest_checkpoint(tmp_path / "two").step == 6


@pytest.mark.skipif(not runs_bf16(), reason="this CPU has no bfloat16")
def test_two_processes_compare_a_teacher_in_bfloat16_together_and_share_one_record(launch, run, tiny, tmp_path):
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "onednn_bf16",
                               "pretrained": str(tmp_path / "teacher")}
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}]
    one = json.loads((run("one") / "teacher.json").read_text())
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    tiny["Global"]["output_dir"] = str(tmp_path / "two")
    launch(ROOT / "tools" / "train.py", tiny, "-c")
    two = json.loads((tmp_path / "two" / "teacher.json").read_text())
    assert two["agreement"]["result"] == pytest.approx(one["agreement"]["result"], rel=1e-3) and two["sha256"] == one["sha256"]
    assert two["accuracy"]["result"] == one["accuracy"]["result"] and two["agreement"]["result"]["images"] == 24
    launch(ROOT / "tools" / "train.py", tiny, "-c")
    logs = (tmp_path / "logs" / "workerlog.0").read_text()
    assert f"measured before, see {tmp_path / 'two' / 'teacher.json'}" in logs


def test_several_students_learn_side_by_side_in_two_processes_as_alone(launch, tiny, tmp_path, assert_same_run):
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    student = tiny["Arch"].pop("student")
    tiny["Arch"].update(
        teacher={"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "eager", "pretrained": str(tmp_path / "teacher")},
        students=[{"run": "kd", **student, "Loss": {"Train": [{"KDLoss": {}}]}},
                  {"run": "vkd", **student, "Loss": {"Train": [{"CELoss": {}}, {"VkDLoss": {}}]}}])
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    tiny["Global"].update(epochs=2, output_dir=str(tmp_path / "two"))
    launch(ROOT / "tools" / "train.py", tiny, "-c")
    alone = students_of(Config(tiny))["vkd"].data
    alone["Global"]["output_dir"] = str(tmp_path / "alone")
    launch(ROOT / "tools" / "train.py", alone, "-c")
    assert_same_run(tmp_path / "two" / "vkd", tmp_path / "alone")


def test_a_fix_stage_on_features_is_the_same_in_two_processes(launch, run, tiny, tmp_path):
    paddle.seed(0)
    save_weights(build_network("SmallResNet", 4, width=4), tmp_path / "start.pdparams")
    tiny["Arch"]["student"].update(pretrained=str(tmp_path / "start"), trainable=["classifier"])
    for mode in ("Train", "Eval"):
        tiny["DataLoader"][mode]["dataset"]["transform_ops"] = ["DecodeImage", "NormalizeImage", "ToCHWImage"]
    tiny["Global"].update(epochs=5, fix_resolution=True)
    one, whole = run("one"), run("whole", Global={"cache_features": False})
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    tiny["Global"]["output_dir"] = str(tmp_path / "two")
    launch(ROOT / "tools" / "train.py", tiny, "-c")
    expected, found = (latest_checkpoint(folder) for folder in (one, tmp_path / "two"))
    assert expected.step == found.step == 15
    uncached = latest_checkpoint(whole).training_state()
    for name, value in expected.training_state().items():
        np.testing.assert_allclose(found.training_state()[name], value, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(found.training_state()[name], uncached[name], atol=1e-6, err_msg=name)
    assert found.card["best"] == expected.card["best"]
    for name in ("train", "eval"):
        same = [np.load(folder / "features" / name / "features.npy") for folder in (one, tmp_path / "two")]
        np.testing.assert_allclose(*same, rtol=1e-6)


def test_the_reported_accuracy_is_that_of_the_saved_file(launch, tiny, tmp_path, make_list):
    make_list(tmp_path, "val", 101)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "config.yaml").write_text("Global: {epochs: 7}\n")        # of another run, to be discarded
    (tmp_path / "two" / "checkpoints" / "step_00000099").mkdir(parents=True)
    tiny["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    tiny["Global"].update(epochs=4, output_dir=str(tmp_path / "two"), keep_checkpoints=9)
    launch(ROOT / "tools" / "train.py", tiny, "--restart", "-c")
    reported = {event["step"]: event for event in read_events(tmp_path / "two") if event["event"] == "eval"}
    assert list(reported) == [3, 6, 9, 12]
    for step, event in reported.items():
        found = evaluate_weights(Config(tiny, "run.yaml"), str(tmp_path / "two" / "checkpoints" / f"step_{step:08d}"), "eager")
        assert event["images"] == found.images == 101
        assert (event["top1"], event["top5"]) == (found.accuracy["top1"], found.accuracy["top5"])
    assert len({event["top1"] for event in reported.values()}) > 1
