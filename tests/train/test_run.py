from __future__ import annotations

import json

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import evaluate_weights
from ssld.train.runlog import read_events


def test_the_resolved_config_is_saved_and_reproduces_the_run(run, tmp_path, assert_same_run):
    from ssld.train.run import train

    first = run("first")
    config = Config.load(first / "config.yaml", [f"Global.output_dir={tmp_path / 'second'}"])
    train(config)
    assert_same_run(first, tmp_path / "second")


def test_a_dry_run_builds_everything_and_writes_nothing(run, capsys):
    folder = run(dry_run=True)
    assert not folder.exists()
    said = capsys.readouterr().out
    assert "3 steps (1 epochs of 3), batch 8 (8 x 1 processes x 1), learning rate 0.05 as written" in said


def test_a_dry_run_leaves_an_earlier_run_alone_even_with_restart(run):
    folder = run()
    before = sorted(path.name for path in folder.rglob("*"))
    run(dry_run=True, restart=True)
    assert sorted(path.name for path in folder.rglob("*")) == before


@pytest.mark.parametrize("section, settings, key", [
    ("Optimizer", {"lr": {"name": "Cosine", "learning_rate": 0.06, "warmup_epoch": 0.5}},
     "Optimizer.lr.learning_rate = 0.05, this one has 0.06"),
    ("Loss", {"Train": [{"CELoss": {"weight": 2}}]}, "Loss.Train.0.CELoss"),
    ("EMA", {"decay": 0.9}, "EMA.decay = None, this one has 0.9"),
    ("Global", {"epochs": 2}, "Global.epochs")])
def test_another_config_does_not_go_on_with_the_checkpoints_of_this_one(run, section, settings, key):
    run()
    with pytest.raises(InputError, match=f"run holds a run with {key}.*--restart to discard"):
        run(**{section: settings})


def test_what_does_not_change_the_result_may_differ(run, capsys):
    run()
    run(Global={"print_batch_step": 7, "keep_checkpoints": 5})
    assert "already finished" in capsys.readouterr().out


def test_restart_discards_what_an_earlier_run_left(run, tiny):
    folder = run(Global={"epochs": 2})
    del tiny["DataLoader"]["Eval"]
    run(restart=True, Global={"epochs": 1})
    assert latest_checkpoint(folder).step == 3
    assert [event["step"] for event in read_events(folder) if event["event"] == "train"] == [1, 2, 3]
    assert not (folder / "best").is_symlink() and (folder / "latest").resolve().name == "step_00000003"


def test_the_best_weights_of_a_run_are_measured_by_default_as_the_run_did(run, tiny, tmp_path, capsys):
    folder = run(Global={"epochs": 4})
    best = latest_checkpoint(folder).card["best"]
    evaluation = evaluate_weights(Config(tiny, "run.yaml"), engine="eager", json_file=str(tmp_path / "out.json"))
    assert evaluation.accuracy == {"top1": best["top1"], "top5": best["top5"]}
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["accuracy"]["top1"] == best["top1"] and written["images"] == 10
    assert written["weights"] == str(folder / "best" / "student.pdparams")
    assert f"{folder / 'best' / 'student.pdparams'}: top1" in capsys.readouterr().out


def test_any_weights_can_be_measured(run, tiny):
    folder = run(Global={"epochs": 2})
    for weights in ("latest", "latest/student", "checkpoints/step_00000003/student.pdparams"):
        assert evaluate_weights(Config(tiny, "run.yaml"), str(folder / weights), "eager").images == 10


def test_a_run_without_checkpoint_has_nothing_to_measure(tiny):
    with pytest.raises(InputError, match="run holds no checkpoint. Train first, or give --weights"):
        evaluate_weights(Config(tiny, "run.yaml"))
