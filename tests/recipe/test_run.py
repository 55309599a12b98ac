from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys

import pytest
import yaml

from ssld.config import Config
from ssld.errors import InputError
from ssld.recipe.plan import read_recipe
from ssld.recipe.run import run_logged, run_recipe


@pytest.fixture
def ladder(tiny, tmp_path):
    """A recipe of a teacher, two students of two seeds and a measurement; returns a function that runs it."""
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(tiny))
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 4, "pretrained": "set by the recipe"}
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}]
    (tmp_path / "taught.yaml").write_text(yaml.safe_dump(tiny))
    stages = [{"name": "teacher", "config": "plain.yaml", "once": True, "title": "the teacher"},
              {"name": "taught", "config": "taught.yaml", "compare": "teacher", "published": "+1.2",
               "set": {"Arch.teacher.pretrained": "{teacher}/latest"}},
              {"name": "measured", "config": "plain.yaml", "command": "eval", "weights": "{taught}/latest",
               "compare": "taught"}]
    data = {"Recipe": {"output_dir": str(tmp_path / "out"), "seeds": [0, 1], "stages": stages}}

    def run(dry_run=False, jobs=2):
        return run_recipe(read_recipe(Config(data, str(tmp_path / "ladder.yaml"))), jobs, dry_run)
    run.data = data
    return run


def test_a_recipe_runs_each_job_once_and_goes_on_where_it_stopped(ladder, tmp_path, capsys):
    out = tmp_path / "out"
    summary = json.loads(ladder().read_text())
    assert [stage["name"] for stage in summary["stages"]] == ["teacher", "taught", "measured"]
    teacher, taught, measured = summary["stages"]
    assert len(teacher["top1"]) == 1 and len(taught["top1"]) == 2
    assert taught["gains"] == [pytest.approx(100 * (value - teacher["top1"][0])) for value in taught["top1"]]
    assert measured["top1"] == taught["top1"] and measured["gains"] == [0.0, 0.0]
    assert "| the teacher |" in (out / "ladder.md").read_text() and "+1.2" in (out / "ladder.md").read_text()
    assert (out / "ladder.svg").read_text().startswith("<svg")
    said = capsys.readouterr().out
    assert "5/5 " in said and said.index("1/5 teacher") < said.index("started taught/seed0")

    (out / "done" / "taught_seed1.json").unlink()               # as if it had been killed before it was through
    ladder.data["Recipe"]["stages"][0]["title"] = "renamed"     # tells nothing of what a job does
    ladder()
    assert [line for line in capsys.readouterr().out.splitlines() if "started" in line] == ["started taught/seed1"]


def test_a_job_that_fails_is_shown_with_the_end_of_its_log_and_later_ones_do_not_start(ladder, tmp_path, capsys):
    (tmp_path / "val.txt").write_text("gone.jpg 0\n")
    message = r"(?s)teacher ended with status 2\. The last lines of .*teacher\.log.*gone\.jpg.*goes on from there"
    with pytest.raises(InputError, match=message):
        ladder()
    assert "taught" not in capsys.readouterr().out and not list((tmp_path / "out").glob("done/*"))


def test_a_dry_run_prints_the_commands_and_runs_none(ladder, tmp_path, capsys):
    assert ladder(dry_run=True) is None
    assert capsys.readouterr().out.splitlines()[0].startswith("ssld train -c ") and not (tmp_path / "out").exists()


def test_a_config_that_is_missing_is_found_before_the_first_job_starts(ladder, tmp_path, capsys):
    (tmp_path / "taught.yaml").unlink()
    with pytest.raises(InputError, match=r"taught\.yaml cannot be read"):
        ladder()
    assert "started" not in capsys.readouterr().out


def test_a_run_that_outlived_its_program_is_waited_for(tmp_path):
    log, writes = tmp_path / "run.log", "import sys, time; time.sleep(float(sys.argv[1])); print(sys.argv[2])"
    with open(log, "a") as out:                                 # as a program that is killed now leaves it
        fcntl.flock(out, fcntl.LOCK_EX)
        left = subprocess.Popen([sys.executable, "-c", writes, "0.5", "left over"], stdout=out)
    run_logged("again", [sys.executable, "-c", writes, "0", "again"], os.environ, log)
    assert log.read_text() == "left over\nagain\n" and left.wait() == 0


@pytest.mark.dist
@pytest.mark.slow
def test_training_stages_may_run_on_several_processes(ladder, tmp_path):
    ladder.data["Recipe"].update(processes=2, seeds=[0], stages=ladder.data["Recipe"]["stages"][:1])
    data = yaml.safe_load((tmp_path / "plain.yaml").read_text())
    data["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(data))
    assert len(json.loads(ladder(jobs=1).read_text())["stages"]) == 1
    assert '"processes": 2' in (tmp_path / "out" / "teacher" / "log.jsonl").read_text()
