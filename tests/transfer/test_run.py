from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from dedup.files import sha256_file, write_json
from ssld.config import Config
from ssld.errors import InputError
from ssld.export.card import read_card
from ssld.models import stages
from ssld.models.weights import read_state, write_state
from ssld.train.runlog import read_events
from ssld.transfer import run as run_module
from ssld.transfer.run import transfer

pytest.importorskip("optuna")


def events(folder, kind: str) -> list[dict]:
    return [event for event in read_events(folder) if event["event"] == kind]


def test_a_transfer_searches_trains_compares_and_exports(done):
    _, begun, file = done
    found = json.loads(file.read_text())
    assert begun[:4] == ["trial00", "trial01", "trial02", "trial03"] and begun.count("best/seed1") == 1
    assert found["images"] == {"all": 24, "train": 16, "validation": 8, "eval": 16} and found["classes"] == 4
    assert {row["name"] for row in found["final"]} >= {"best", "scratch"}
    assert [len(row["top1"]) for row in found["final"]] == [2] * len(found["final"])
    assert all(len(trial["validation_top1"]) == 1 + (trial["state"] == "complete") for trial in found["search"])
    for name in ("transfer.md", "transfer.svg", "search.svg"):
        assert (file.parent / name).stat().st_size > 100


def test_the_best_trial_is_what_is_trained_at_the_end_on_all_images(done):
    *_, file = done
    found, folder = json.loads(file.read_text()), file.parent / "final" / "best" / "seed0"
    complete = [trial for trial in found["search"] if trial["state"] == "complete"]
    best = max(complete, key=lambda trial: trial["validation_top1"]["2"])
    assert found["final"][0]["learning_rate"] == best["learning_rate"]
    assert found["final"][0]["multipliers"] == best["multipliers"]
    config = Config.load(folder / "config.yaml")
    assert config.section("Optimizer")["lr"]["learning_rate"] == best["learning_rate"]
    assert config.section("Arch")["student"]["lr_mult_list"] == found["multipliers"][best["multipliers"]]
    lists = file.parent / "lists"
    assert config.section("DataLoader")["Train"]["dataset"]["cls_label_path"] == str(lists / "all.txt")
    assert config.section("DataLoader")["Eval"]["dataset"]["cls_label_path"] == str(lists / "eval.txt")
    assert events(folder, "start")[0]["images"] == 24 and [event["images"] for event in events(folder, "eval")] == [16]


def test_trials_never_see_the_evaluation_images(done):
    *_, file = done
    for folder in (file.parent / "search").glob("trial*"):
        loaders = Config.load(folder / "config.yaml").section("DataLoader")
        assert {Path(loaders[mode]["dataset"]["cls_label_path"]).name for mode in loaders} == {"train.txt", "validation.txt"}
    parts = {name: set((file.parent / "lists" / f"{name}.txt").read_text().splitlines())
             for name in ("train", "validation", "all")}
    assert not parts["train"] & parts["validation"] and parts["train"] | parts["validation"] == parts["all"]


def test_what_is_exported_is_the_first_seed_at_its_end_with_the_names_of_the_folders(done):
    *_, file = done
    card = read_card(file.parent / "exported")
    assert card.class_names == ["ash", "birch tree", "cedar", "elm"] and card.class_num == 4
    last = read_state(file.parent / "final" / "best" / "seed0" / "latest")
    exported = read_state(file.parent / "exported" / "student")
    assert last.keys() == exported.keys() and all((last[name] == exported[name]).all() for name in last)
    assert card.accuracy["inference"]["accuracy"]["top1"] == json.loads(file.read_text())["final"][0]["top1"][0]


def test_all_tensors_but_those_of_a_new_classifier_are_the_student_s(plan_of, in_process, exported):
    plan = plan_of({"search": {"multipliers": ["ones"]}, "final": {"seeds": [3]}})
    prepared = run_module.prepare(plan)
    network, given = run_module.build.build_student(prepared.final), read_state(exported / "student")
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    assert state.keys() == given.keys()
    for name in given:
        if name.startswith("fc."):
            assert state[name].shape[-1] == 4 != given[name].shape[-1]
        else:
            np.testing.assert_array_equal(state[name], given[name], err_msg=name)


def test_a_single_setting_is_trained_without_a_search_and_without_optuna(plan_of, in_process, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    file = transfer(plan_of({"search": {"multipliers": [[0.5, 0.5, 0.5, 1]], "rungs": [1]},
                             "final": {"seeds": [0], "baselines": ["ones"]}}))
    found = json.loads(file.read_text())
    assert in_process == ["best/seed0", "ones/seed0"] and found["search"] == []
    assert found["images"] == {"all": 24, "eval": 16} and not (file.parent / "search.svg").exists()


def test_the_same_call_again_trains_only_what_is_new(plan_of, in_process):
    short = {"search": {"multipliers": ["ones", "half"], "rungs": [1]}, "final": {"seeds": [0]}}
    file = transfer(plan_of(short))
    first = file.read_text()
    assert sorted(in_process) == ["best/seed0", "trial00", "trial01"]
    transfer(plan_of({**short, "title": "another title"}))
    assert len(in_process) == 3
    transfer(plan_of({**short, "final": {"seeds": [0, 1]}}))
    assert in_process[3:] == ["best/seed1"]
    assert json.loads(file.read_text())["final"][0]["top1"][0] == json.loads(first)["final"][0]["top1"][0]
    with pytest.raises(InputError, match=r"is of another search: search\.multipliers\.1 was 'half', and is 'double' now"):
        transfer(plan_of({**short, "search": {"multipliers": ["ones", "double"], "rungs": [1]}}))


def test_a_rate_that_is_too_high_fails_its_trial_and_not_the_search(plan_of, in_process):
    file = transfer(plan_of({"search": {"multipliers": ["ones"], "learning_rate": [0.01, 1e30], "rungs": [1]},
                             "final": {"seeds": [0]}}))
    found = {trial["learning_rate"]: trial for trial in json.loads(file.read_text())["search"]}
    assert found[0.01]["state"] == "complete" and found[1e30] == {**found[1e30], "state": "fail", "validation_top1": {}}
    assert "| ones (diverged) | 1e+30 | 0.0001 |  |" in file.with_suffix(".md").read_text()


def test_two_transfers_in_one_folder_do_not_get_into_each_other_s_way(plan_of, in_process):
    plan = plan_of()
    Path(plan.output_dir).mkdir()
    with run_module._alone_in(Path(plan.output_dir)):
        with pytest.raises(InputError, match="another `ssld transfer` is at work"):
            transfer(plan)


def test_a_dry_run_writes_nothing(plan_of, capsys):
    plan = plan_of()
    assert transfer(plan, dry_run=True) is None
    said = capsys.readouterr().out
    assert "a new classifier of 4 classes" in said and "search: 4 settings" in said and "ones, rate 0.01, l2 0.0001" in said
    assert "final: best, ones, scratch x seeds [0, 1], 2 epochs each" in said and not Path(plan.output_dir).exists()


def test_a_search_without_optuna_says_how_to_install_it(plan_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'ssld\[search\]'"):
        transfer(plan_of(), dry_run=True)


@pytest.mark.parametrize("changes, message", [
    ({"student": "nowhere"}, "nowhere holds no exported student"),
    ({"search.multipliers": [[0.1, 0.2]]}, r"must be a list of 4 numbers.*SmallResNet has 4 stages.*stage1"),
    ({"search.multipliers": [[0.1, -0.2, 1, 1]]}, "each multiplier of .* at least 0, not -0.2"),
    ({"search.multipliers": ["published"]}, "SmallResNet. cannot be 'published'. Known: double, half, ones, rising"),
    ({"search.l2": [-1e-4]}, "each l2 must be a number of at least 0"),
    ({"search.learning_rate": [0]}, "each learning_rate must be a number above 0"),
    ({"search.learning_rate": {"low": 0.1, "high": 0.01}}, "low must be below high"),
    ({"search.learning_rate": {"low": 0.1, "height": 1}}, "no option 'height'. Did you mean 'high'"),
    ({"search.learning_rate": {"low": 0.01, "high": 0.1}}, "trials: grid tries all values"),
    ({"final.baselines": ["half", "scrath"]}, "there is no 'scrath'. Did you mean 'scratch'"),
    ({"new_classifier": False}, "keeps the classifier of 3 classes, but the task has 4"),
    ({"also": ["onx"]}, "also cannot be 'onx'. Did you mean 'onnx'"),
    ({"config": "gone.yaml"}, "gone.yaml cannot be read")])
def test_what_cannot_be_run_is_refused_before_the_first_run(plan_of, in_process, changes, message):
    plan = plan_of(changes)
    with pytest.raises(InputError, match=f"(?s){message}"):
        transfer(plan)
    assert not in_process and not Path(plan.output_dir).exists()


def test_a_backbone_without_known_stages_is_refused_with_the_beginnings_of_its_names(plan_of, monkeypatch):
    monkeypatch.setattr(stages, "_ROWS", {})
    with pytest.raises(InputError, match=r"the stages of SmallResNet are not known. Its parameters begin with: fc, stage1"):
        transfer(plan_of())


def test_weights_that_lack_a_tensor_are_refused(plan_of, exported, tmp_path):
    folder = tmp_path / "broken"
    shutil.copytree(exported, folder)
    state = {name: paddle.to_tensor(value) for name, value in read_state(exported / "student").items()}
    state.pop("stem.0.weight")
    with open(folder / "student.pdparams", "wb") as out:
        write_state(state, out)
    card = json.loads((folder / "card.json").read_text())
    card["sha256"]["student.pdparams"] = sha256_file(folder / "student.pdparams")
    write_json(folder / "card.json", card)
    with pytest.raises(InputError, match=r"(?s)does not fit SmallResNet.*only in the network \(1\): stem\.0\.weight"):
        transfer(plan_of({"student": str(folder)}))


@pytest.mark.parametrize("part, value, message", [
    ("Loss", None, "Loss.Train is empty"), ("Optimizer", {"name": "Momentum", "lr": {"learning_rate": 0.1, "warmup_epoch": 5}},
                                            "warmup_epoch 5 is longer than the run of 2 epochs"),
    ("Optimizer", {"lr": {"learning_rate": 0.1}, "regularizer": {"name": "L2"}}, "regularizer needs the option 'coeff'"),
    ("Optimizer", {"lr": {}}, "each learning_rate must be a number above 0, not None"),
    ("Arch", {"student": {"depth": 8, "wdth": 4}}, "has no option 'wdth'"), ("Global", {"epoch": 3}, "Did you mean 'epochs'")])
def test_a_config_that_cannot_be_trained_is_refused_before_the_first_run(plan_of, tmp_path, part, value, message):
    base = Config.load(tmp_path / "base.yaml")
    base.data[part] = value
    base.write(tmp_path / "base.yaml")
    with pytest.raises(InputError, match=message):
        transfer(plan_of({"search.learning_rate": None}))


def test_a_config_for_another_backbone_is_refused(plan_of, tmp_path):
    base = Config.load(tmp_path / "base.yaml")
    base.data["Arch"] = {"student": {"name": "ResNet18"}}
    base.write(tmp_path / "base.yaml")
    with pytest.raises(InputError, match="is for a ResNet18, but .* holds a SmallResNet"):
        transfer(plan_of())
