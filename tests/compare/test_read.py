from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ssld.compare.read import read_comparison
from ssld.config import Config
from ssld.errors import InputError
from ssld.recipe.plan import jobs_of


def read(section):
    return read_comparison(Config({"Compare": section}, "shop/methods.yaml"))


def settings_of(comparison, name):
    """Dotted key -> value of what the job changes in its config."""
    arguments = next(job.arguments for job in jobs_of(comparison.recipe) if job.name == name)
    overrides = [value for flag, value in zip(arguments, arguments[1:]) if flag == "-o"]
    return {key: yaml.safe_load(value) for key, value in (text.split("=", 1) for text in overrides)}


def test_every_method_runs_under_every_recipe_for_every_seed_after_what_comes_before(section):
    jobs = jobs_of(read(section).recipe)
    cells = [f"{recipe}.{method}" for recipe in ("plain", "slow") for method in ("supervised", "KD", "JSD")]
    assert [job.name for job in jobs] == ["teacher", *(f"{cell}/seed{seed}" for cell in cells for seed in (0, 1))]
    assert all(job.needs == ((), ("teacher",))["supervised" not in job.name] for job in jobs[1:])


def test_configs_are_found_beside_the_comparison(section):
    assert jobs_of(read(section).recipe)[1].arguments[:3] == ("train", "-c", str(Path("shop") / "plain.yaml"))


def test_a_cell_has_the_losses_of_its_task_and_its_method(section):
    comparison = read(section)
    kd = {"KDLoss": {"weight": 0.75}}
    assert settings_of(comparison, "plain.KD/seed1")["Loss.Train"] == [{"CELoss": {"weight": 0.25}}, kd]
    assert settings_of(comparison, "slow.KD/seed1")["Loss.Train"] == [{"BCELoss": {"weight": 0.5}}, kd]
    assert settings_of(comparison, "slow.supervised/seed0")["Loss.Train"] == [{"BCELoss": {"weight": 2.0}}]


def test_a_task_that_weighs_nothing_is_left_out(section):
    assert settings_of(read(section), "plain.JSD/seed0")["Loss.Train"] == [{"JSDivLoss": {}}]


def test_a_method_without_teacher_loses_all_settings_of_one(section):
    comparison = read(section)
    alone, taught = (settings_of(comparison, f"plain.{name}/seed0") for name in ("supervised", "KD"))
    assert [alone[key] for key in alone if key.startswith("Arch.teacher")] == [None]
    assert taught["Arch.teacher.pretrained"] == "runs/teacher/latest"


def test_a_method_may_differ_under_a_recipe_or_not_be_run_there(section):
    section["methods"][1]["recipes"] = {"slow": {"task": {"CELoss": {}}, "task_weight": 1.0, "losses": [{"DISTLoss": {}}]}}
    section["methods"][2]["recipes"] = {"plain": None}
    comparison = read(section)
    assert settings_of(comparison, "slow.KD/seed0")["Loss.Train"] == [{"CELoss": {"weight": 1.0}}, {"DISTLoss": {}}]
    assert settings_of(comparison, "plain.KD/seed0")["Loss.Train"][1] == {"KDLoss": {"weight": 0.75}}
    assert "plain.JSD" not in [cell.name for cell in comparison.cells]


def test_settings_of_the_method_come_before_those_of_the_recipe_and_those_before_the_shared_ones(section):
    section["set"].update({"Global.epochs": 1, "Global.update_freq": 1})
    section["recipes"][0]["set"] = {"Global.epochs": 2, "Global.save_interval": 2}
    section["methods"][1]["set"] = {"Global.save_interval": 3}
    settings = settings_of(read(section), "plain.KD/seed0")
    assert [settings[f"Global.{key}"] for key in ("update_freq", "epochs", "save_interval")] == [1, 2, 3]


@pytest.mark.parametrize("change, message", [
    (lambda s: s.pop("methods"), "Compare needs the option 'methods'"),
    (lambda s: s.update(seed=1), "Did you mean 'seeds'"),
    (lambda s: s.update(seeds=[]), r"Compare\.seeds must be a list with at least one entry"),
    (lambda s: s.update(seeds=[0, 0]), "seeds must differ from one another"),
    (lambda s: s.update(seeds=[-1]), "whole numbers of at least 0"),
    (lambda s: s.update(processes=0), "processes must be"),
    (lambda s: s.update(recipes=[]), r"Compare\.recipes must be a list"),
    (lambda s: s.update(reference="supervized"), "reference names 'supervized', which is no method.*'supervised'?"),
    (lambda s: s.update(before=[{"name": "teacher"}]), r"Compare\.before\[0\] needs the option 'config'"),
    (lambda s: s.update(before=[]), "'plain.KD' refers to 'teacher', which is no earlier stage"),
    (lambda s: s["methods"].append({"name": "KD", "losses": []}), r"methods\[3\]: two entries of methods are called 'KD'"),
    (lambda s: s["methods"].append("KD"), r"methods\[3\]: expected 'key: value' options"),
    (lambda s: s["methods"].append({"name": "a/b", "losses": []}), r"methods\[3\]: name must consist of letters.*'a/b'"),
    (lambda s: s["methods"][1].update(losses={"KDLoss": {}}), r"methods\[1\]: losses must be a list"),
    (lambda s: s["methods"][1].update(losses=["KDLoss"]), r"methods\[1\]: an entry of losses must be one loss.*not 'KDLoss'"),
    (lambda s: s["methods"][1].update(task_weight=-1), r"methods\[1\]: task_weight must be a number of at least 0"),
    (lambda s: s["methods"][1].update(tsk_weight=1), r"methods\[1\] has no option 'tsk_weight'.*'task_weight'"),
    (lambda s: s["methods"][1].update(teacher=1), r"methods\[1\]: teacher must be true or false"),
    (lambda s: s["methods"][1].update(recipes={"plian": {}}), r"methods\[1\]\.recipes has no option 'plian'.*'plain'"),
    (lambda s: s["methods"][1].update(recipes={"slow": {"title": "x"}}), r"recipes\.slow has no option 'title'"),
    (lambda s: s["methods"][1].update(recipes={"slow": {"losses": 1}}), r"recipes\.slow: losses must be a list"),
    (lambda s: s["methods"][1].update(set=["a=b"]), r"methods\[1\]: set must hold"),
    (lambda s: s["recipes"][0].update(task={}), r"recipes\[0\]: task must be one loss"),
    (lambda s: s["recipes"][0].update(task={"CELoss": {"weight": "1"}}), r"recipes\[0\]: weight of CELoss must be a number"),
    (lambda s: s["recipes"][1].pop("config"), r"recipes\[1\] needs the option 'config'"),
])
def test_a_comparison_that_cannot_be_run_is_refused_with_its_place(section, change, message):
    change(section)
    with pytest.raises(InputError, match=f"(?s)shop/methods.yaml.*{message}"):
        read(section)
