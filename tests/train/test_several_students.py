"""Students that learn side by side are what each would be alone, to the bit."""
from __future__ import annotations

import copy

import numpy as np
import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.export.run import export
from ssld.models.weights import read_state
from ssld.students import students_of
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import evaluate_weights, train

PLAIN = {"name": "SmallResNet", "class_num": 4, "width": 4}
STUDENTS = [
    {"run": "jsd", **PLAIN},
    {"run": "features", **PLAIN, "width": 8, "EMA": {"decay": 0.9},
     "Loss": {"Train": [{"CELoss": {}}, {"CRDLoss": {"negatives": 6, "embedding": 8}}]}},
    {"run": "vkd", **PLAIN, "Loss": {"Train": [{"VkDLoss": {}}]},
     "Optimizer": {"name": "AdamW", "lr": {"learning_rate": 0.002}}}]


@pytest.fixture
def several(taught, tmp_path):
    """A run of three students with other losses, optimizers and widths, and one teacher."""
    data = taught()
    del data["Arch"]["student"]
    data["Arch"]["students"] = copy.deepcopy(STUDENTS)
    data["Global"].update(epochs=2, output_dir=str(tmp_path / "several"), save_steps=2)
    return data


def test_each_is_what_it_would_be_alone_and_the_teacher_is_asked_once(several, tmp_path, assert_same_run, asked):
    train(Config(several, "several.yaml"))
    together = len(asked)
    for name, alone in students_of(Config(copy.deepcopy(several), "several.yaml")).items():
        alone.data["Global"]["output_dir"] = str(tmp_path / "alone" / name)
        asked.clear()
        train(alone)
        assert_same_run(tmp_path / "several" / name, tmp_path / "alone" / name)
        assert len(asked) == together               # 6 batches of the training, and 2 that measure the teacher
    assert len(list((tmp_path / "several").glob("*/teacher.json"))) == 3


def test_gradients_of_several_batches_are_accumulated_by_each(several, tmp_path, assert_same_run):
    several["Global"].update(update_freq=3)
    train(Config(several, "several.yaml"))
    alone = students_of(Config(copy.deepcopy(several)))["features"]
    alone.data["Global"]["output_dir"] = str(tmp_path / "alone")
    train(alone)
    assert_same_run(tmp_path / "several" / "features", tmp_path / "alone")


def test_who_is_ahead_waits_for_the_others(several, tmp_path, stop_at, assert_same_run):
    train(Config(several, "several.yaml"))
    interrupted = copy.deepcopy(several)
    interrupted["Global"]["output_dir"] = str(tmp_path / "interrupted")
    runs = students_of(Config(copy.deepcopy(interrupted)))
    train(runs["jsd"])                                          # one is through already,
    stop_at(3)
    with pytest.raises(KeyboardInterrupt):                      # one has come to step 3, one has not begun
        train(runs["vkd"])
    stop_at(None)
    assert [latest_checkpoint(tmp_path / "interrupted" / name).step for name in ("jsd", "vkd")] == [6, 3]
    train(Config(interrupted, "several.yaml"))
    for student in STUDENTS:
        assert_same_run(tmp_path / "several" / student["run"], tmp_path / "interrupted" / student["run"])


def test_each_folder_is_a_run_that_is_measured_and_exported_by_itself(several, tmp_path, capsys):
    train(Config(several, "several.yaml"))
    assert "[vkd] step 6/6" in capsys.readouterr().out
    config = Config.load(tmp_path / "several" / "vkd" / "config.yaml")
    assert evaluate_weights(config).images == 10
    export(config, tmp_path / "exported")
    best = read_state(tmp_path / "several" / "vkd" / "best")
    exported = read_state(tmp_path / "exported" / "student.pdparams")
    assert exported.keys() == best.keys() and not any("method" in name for name in exported)
    np.testing.assert_array_equal(exported["fc.weight"], best["fc.weight"])


def test_where_one_student_is_meant_the_configs_of_each_are_named(several):
    with pytest.raises(InputError, match="several students.*jsd/config.yaml"):
        evaluate_weights(Config(several, "several.yaml"))


def test_another_setting_of_one_student_does_not_go_on_with_its_checkpoints(several):
    train(Config(several, "several.yaml"))
    several["Arch"]["students"][2]["Optimizer"]["lr"]["learning_rate"] = 0.003
    with pytest.raises(InputError, match="several/vkd holds a run with Optimizer.lr.learning_rate = 0.002, this one has 0.003"):
        train(Config(several, "several.yaml"))


def test_stored_labels_teach_several(stored, tmp_path, assert_same_run):
    del stored["Arch"]["student"]
    stored["Arch"]["students"] = [{"run": "one", **PLAIN}, {"run": "two", **PLAIN, "Loss": {"Train": [{"JSDivLoss": {}}]}}]
    train(Config(copy.deepcopy(stored), "several.yaml"))
    alone = students_of(Config(stored))["two"]
    alone.data["Global"]["output_dir"] = str(tmp_path / "alone")
    train(alone)
    assert_same_run(tmp_path / "run" / "two", tmp_path / "alone")


def test_a_fix_stage_of_several_is_refused(several):
    several["Global"]["fix_resolution"] = True
    with pytest.raises(InputError, match="trains one classifier.*3 students"):
        train(Config(several, "several.yaml"))
