"""Whole runs with a frozen teacher."""
from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest

from dedup.files import sha256_file
from ssld import build, build_teacher
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import fingerprint, save_weights
from ssld.models.zoo import build_network
from ssld.teachers import agreement, engines
from ssld.teachers.onednn import runs_bf16
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

needs_bf16 = pytest.mark.skipif(not runs_bf16(), reason="this CPU has no bfloat16")
STOPS = {"Global": {"epochs": 2, "save_steps": 2}}


@pytest.fixture
def cut(run, stop_at):
    """Starts a run, interrupts it at step 3 of 6, and returns its folder."""
    def cut(**options):
        stop_at(3)
        with pytest.raises(KeyboardInterrupt):
            run("cut", **STOPS, **options)
        stop_at(None)
    return cut


def record_of(folder) -> dict:
    return json.loads((folder / "teacher.json").read_text())


@pytest.mark.parametrize("loss", ["JSDivLoss", "SoftCELoss"])
def test_onednn_gives_the_losses_of_eager_execution(run, taught, loss):
    taught()["Loss"]["Train"] = [{loss: {}}]
    losses = {}
    for engine in ("eager", "onednn_fp32"):
        taught(engine=engine)
        folder = run(engine, Global={"epochs": 4})
        losses[engine] = [event["loss"] for event in read_events(folder) if event["event"] == "train"]
    assert len(losses["eager"]) == 12 and np.ptp(losses["eager"]) > 0.01 * np.mean(losses["eager"])
    np.testing.assert_allclose(losses["onednn_fp32"], losses["eager"], rtol=1e-4)


def test_evaluation_never_asks_the_teacher(run, taught, asked):
    run(Global={"epochs": 3})
    before = [8, 2]                                 # its own accuracy, on the 10 evaluation images
    assert asked == before + 9 * [8]


@pytest.mark.parametrize("batch_norm", ["running", "batch"])
def test_the_teacher_stays_as_it_is_to_the_bit_statistics_included(taught, tmp_path, batch_norm):
    file = sha256_file(tmp_path / "teacher.pdparams")
    trainer = build.build_trainer(Config(copy.deepcopy(taught(batch_norm=batch_norm)), "run.yaml"))
    network = trainer.model.teacher.engine.network
    before, student = fingerprint(network.state_dict()), fingerprint(trainer.model.student.state_dict())
    trainer.fit()
    assert fingerprint(network.state_dict()) == before
    assert fingerprint(trainer.model.student.state_dict()) != student
    assert sha256_file(tmp_path / "teacher.pdparams") == file


def test_batch_statistics_teach_something_else(run, taught):
    losses = []
    for batch_norm in ("running", "batch"):
        taught(batch_norm=batch_norm)
        losses.append(read_events(run(batch_norm))[1]["loss"])
    assert abs(losses[0] - losses[1]) > 1e-3 * losses[0]


def test_a_run_records_its_teacher_by_path_and_checksum_and_does_not_copy_it(run, taught, tmp_path):
    folder = run()
    file, record, checkpoint = tmp_path / "teacher.pdparams", record_of(folder), latest_checkpoint(folder)
    expected = {"name": "SmallResNet", "class_num": 4, "path": str(file), "sha256": sha256_file(file), "engine": "eager",
                "batch_norm": "running"}
    assert {key: record[key] for key in expected} == expected
    accuracy = record["accuracy"]
    assert accuracy["inputs"]["list_sha256"] == sha256_file(tmp_path / "val.txt")
    assert accuracy["result"]["images"] == 10 and set(accuracy["result"]["accuracy"]) == {"top1", "top5"}
    assert checkpoint.card["teacher"] == {"path": str(file), "sha256": sha256_file(file)}
    assert not [name for name in checkpoint.training_state() if "teacher" in name]


def test_a_resumed_run_does_not_measure_its_teacher_again(run, taught, cut, asked, capsys):
    cut()
    done, first = len(asked), capsys.readouterr().out
    folder = run("cut", **STOPS)
    assert asked[done:] == 3 * [8]                  # steps 4 to 6
    said, = (line for line in capsys.readouterr().out.splitlines() if line.startswith("teacher "))
    assert said == next(line for line in first.splitlines() if line.startswith("teacher ")) + (
        f"; measured before, see {folder / 'teacher.json'}")


def test_a_resumed_run_with_a_damaged_record_measures_its_teacher_anew(run, taught, cut, asked, tmp_path, capsys):
    cut()
    done, file = len(asked), tmp_path / "cut" / "teacher.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    run("cut", **STOPS)
    assert asked[done:] == [8, 2] + 3 * [8] and file.read_bytes() == whole
    assert "teacher.json was truncated or altered; the teacher is measured anew" in capsys.readouterr().err


def test_a_run_does_not_go_on_with_another_teacher_file_until_it_is_restarted(run, taught, cut, tmp_path):
    cut()
    file = tmp_path / "teacher.pdparams"
    first = sha256_file(file)
    shutil.copy(file, tmp_path / "original.pdparams")
    save_weights(build_network("SmallResNet", 4, width=8), file)
    with pytest.raises(InputError, match=f"cut was taught by .*teacher.pdparams .SHA-256 {first}., but the teacher is now "
                                         f".*teacher.pdparams .SHA-256 {sha256_file(file)}.*--restart"):
        run("cut", **STOPS)
    assert record_of(tmp_path / "cut")["sha256"] == first
    assert record_of(run("cut", restart=True, **STOPS))["sha256"] == sha256_file(file)
    shutil.move(tmp_path / "original.pdparams", file)
    with pytest.raises(InputError, match="Put the original file back"):
        run("cut", **STOPS)


def test_the_original_file_put_back_lets_a_run_go_on(run, taught, cut, tmp_path, assert_same_run):
    whole = run("whole", **STOPS)
    cut()
    file = tmp_path / "teacher.pdparams"
    shutil.copy(file, tmp_path / "original.pdparams")
    save_weights(build_network("SmallResNet", 4, width=8), file)
    with pytest.raises(InputError):
        run("cut", **STOPS)
    shutil.move(tmp_path / "original.pdparams", file)
    assert_same_run(run("cut", **STOPS), whole)


def test_min_top1_needs_a_list_to_measure_on(run, taught):
    del taught(min_top1=0.5)["DataLoader"]["Eval"]
    with pytest.raises(InputError, match="min_top1 needs an evaluation list to measure the teacher on. Add DataLoader.Eval"):
        run()


def test_without_an_evaluation_list_the_teacher_is_recorded_all_the_same(run, taught):
    del taught()["DataLoader"]["Eval"]
    record = record_of(run())
    assert record["name"] == "SmallResNet" and "accuracy" not in record


@needs_bf16
def test_bfloat16_is_compared_once_recorded_and_used(run, taught, cut, monkeypatch, assert_same_run):
    compared = []
    original = build_teacher.measure_agreement
    monkeypatch.setattr(build_teacher, "measure_agreement", lambda *args: compared.append(1) or original(*args))
    taught(engine="onednn_bf16")
    whole = run("whole", **STOPS)
    found = record_of(whole)["agreement"]
    assert found["result"]["images"] == 24 and found["result"]["top1"] >= agreement.LEAST_TOP1
    assert found["inputs"]["list"].endswith("train.txt")
    cut()
    assert len(compared) == 2
    assert_same_run(run("cut", **STOPS), whole)
    assert len(compared) == 2 and record_of(whole) == record_of(whole.with_name("cut"))
    assert record_of(whole)["accuracy"]["inputs"]["engine"] == "onednn_bf16"


@needs_bf16
def test_bfloat16_that_does_not_agree_leaves_the_run_in_float32(run, taught, monkeypatch, assert_same_run, capsys):
    monkeypatch.setattr(agreement, "MOST_MOVED", 0.0)
    folders = []
    for engine in ("onednn_fp32", "onednn_bf16"):
        taught(engine=engine)
        folders.append(run(engine))
    assert "engine: onednn_fp32 instead of onednn_bf16: " in capsys.readouterr().err
    assert record_of(folders[1])["agreement"]["result"]["moved"] > 0
    assert_same_run(*folders)


def test_on_a_cpu_without_bfloat16_a_run_is_that_of_float32(run, taught, monkeypatch, assert_same_run):
    monkeypatch.setattr(engines, "runs_bf16", lambda: False)
    folders = []
    for engine in ("onednn_fp32", "onednn_bf16"):
        taught(engine=engine)
        folders.append(run(engine))
    assert "agreement" not in record_of(folders[1])
    assert_same_run(*folders)
