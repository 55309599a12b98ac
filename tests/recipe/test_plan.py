from __future__ import annotations

from pathlib import Path

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.recipe.plan import jobs_of, read_recipe

TEACHER = {"name": "teacher", "config": "teacher.yaml", "once": True}
DISTILL = {"name": "distill", "config": "distill.yaml", "set": {"Arch.teacher.pretrained": "{teacher}/latest"}}
MEASURE = {"name": "measure", "config": "eval.yaml", "command": "eval", "weights": "{distill}/best", "compare": "distill"}


def recipe_of(*stages, **options):
    return read_recipe(Config({"Recipe": {"output_dir": "runs", "stages": list(stages), **options}}, "recipes/ladder.yaml"))


def test_every_stage_runs_for_every_seed_unless_it_runs_once():
    jobs = jobs_of(recipe_of(TEACHER, DISTILL, MEASURE, seeds=[3, 5]))
    assert [job.name for job in jobs] == ["teacher", "distill/seed3", "distill/seed5", "measure/seed3", "measure/seed5"]


def test_references_are_the_folders_of_the_same_seed_and_what_a_job_waits_for():
    teacher, first, second, measured, _ = jobs_of(recipe_of(TEACHER, DISTILL, MEASURE, seeds=[3, 5]))
    assert teacher.needs == () and first.needs == ("teacher",) and measured.needs == ("distill/seed3",)
    assert "Arch.teacher.pretrained=runs/teacher/latest" in second.arguments
    assert "Global.output_dir=runs/distill/seed5" in second.arguments and "Global.seed=5" in second.arguments
    assert measured.arguments[-4:] == ("--weights", "runs/distill/seed3/best", "--json", "runs/measure/seed3/evaluation.json")


def test_configs_are_found_beside_the_recipe():
    assert jobs_of(recipe_of(TEACHER))[0].arguments[:3] == ("train", "-c", str(Path("recipes") / "teacher.yaml"))


def test_a_stage_that_runs_once_takes_the_first_seed():
    assert "Global.seed=7" in jobs_of(recipe_of(TEACHER, seeds=[7, 1]))[0].arguments


def test_the_seed_can_be_used_in_settings():
    stage = {**DISTILL, "set": {"Select.seed": "{seed}", "Global.epochs": 3}}
    job = jobs_of(recipe_of(stage, seeds=[0, 4]))[1]
    assert "Select.seed=4" in job.arguments and "Global.epochs=3" in job.arguments and job.needs == ()


def test_a_stage_inside_another_writes_into_its_folder_and_waits_for_it():
    expand = {"name": "expand", "config": "expand.yaml", "command": "expand", "once": True}
    other = {"name": "random", "config": "random.yaml", "command": "expand", "once": True, "inside": "expand"}
    user = {"name": "use", "config": "use.yaml", "set": {"DataLoader.Train.dataset.cls_label_path": "{random}/r/list.txt"}}
    _, random, use = jobs_of(recipe_of(expand, other, user))
    assert random.folder == Path("runs/expand") and random.needs == ("expand",)
    assert use.needs == ("random",) and "DataLoader.Train.dataset.cls_label_path=runs/expand/r/list.txt" in use.arguments


def test_stages_inside_one_another_write_into_the_folder_of_the_first():
    stages = [{"name": name, "config": "expand.yaml", "command": "expand", "once": True, **inside}
              for name, inside in (("a", {}), ("b", {"inside": "a"}), ("c", {"inside": "b"}))]
    assert [job.folder for job in jobs_of(recipe_of(*stages))] == [Path("runs/a")] * 3


@pytest.mark.parametrize("value", [None, True, 0.5, [1, "x"], {"name": "L2"}, "a text"])
def test_settings_arrive_as_they_were_written(value, tmp_path):
    (tmp_path / "x.yaml").write_text("Global: {}")
    job, = jobs_of(recipe_of({"name": "x", "config": "x.yaml", "set": {"Global.it": value}}))
    override = next(argument for argument in job.arguments if argument.startswith("Global.it="))
    assert Config.load(tmp_path / "x.yaml", [override]).section("Global")["it"] == value


@pytest.mark.parametrize("stages, message", [
    ([{"name": "x", "config": "x.yaml", "command": "expand"}, {**DISTILL, "set": {}, "compare": "x"}], "has no accuracy"),
    ([], "stages must be a list with at least one entry"),
    (["distill"], r"stages\[0\]: expected a stage such as"),
    ([{"name": "x"}], "needs the option 'config'"),
    ([{"name": "x", "config": "x.yaml", "confg": 1}], "Did you mean 'config'"),
    ([{"name": "a b", "config": "x.yaml"}], "name must consist of letters"),
    ([{"name": "x", "config": "x.yaml", "command": "trian"}], "Did you mean 'train'"),
    ([{"name": "x", "config": "x.yaml", "weights": "w"}], "'weights' belongs to the command eval"),
    ([{"name": "x", "config": "x.yaml", "command": "eval"}], "'weights' belongs to the command eval"),
    ([{"name": "x", "config": "x.yaml", "set": ["a=b"]}], "set must hold"),
    ([TEACHER, TEACHER], "two stages are called 'teacher'"),
    ([DISTILL], "'distill' refers to 'teacher', which is no earlier stage"),
    ([TEACHER, {**DISTILL, "set": {"a": "{techer}/latest"}}], "Did you mean 'teacher'"),
    ([TEACHER, DISTILL, {**MEASURE, "compare": "distil"}], "refers to 'distil'.*Did you mean 'distill'"),
    ([{**TEACHER, "once": False}, {**DISTILL, "once": True}], "runs once, but refers to 'teacher', which runs for each seed"),
])
def test_a_recipe_that_cannot_be_run_is_refused_by_name(stages, message):
    with pytest.raises(InputError, match=f"(?s)recipes/ladder.yaml.*{message}"):
        recipe_of(*stages)


@pytest.mark.parametrize("options, message", [({"seeds": []}, "seeds must be a list"), ({"seeds": [-1]}, "of at least 0"),
                                              ({"seeds": [True]}, "whole numbers"), ({"processes": 0}, "processes must be"),
                                              ({"seed": 1}, "Did you mean 'seeds'")])
def test_options_of_a_recipe_are_checked(options, message):
    with pytest.raises(InputError, match=message):
        recipe_of(TEACHER, **options)
