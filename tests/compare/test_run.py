from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from ssld import cli
from ssld.compare.read import read_comparison
from ssld.compare.run import compare, table_so_far
from ssld.config import Config
from ssld.errors import InputError


def comparison_of(folder, section):
    return read_comparison(Config({"Compare": section}, str(folder / "methods.yaml")))


@pytest.mark.slow
def test_a_comparison_runs_every_cell_once_is_timed_and_goes_on_where_it_stopped(folder, section, capsys):
    section.update(timing={"rounds": 1, "steps": 1, "warm_up": 1})
    section["methods"].pop()
    section["recipes"].pop()
    comparison, out = comparison_of(folder, section), folder / "out"
    file = compare(comparison, 2)
    found = json.loads(file.read_text())
    assert [(cell["recipe"], cell["method"]) for cell in found["cells"]] == [("plain", "supervised"), ("plain", "KD")]
    assert all(len(cell["top1_percent"]) == 2 and cell["steps"] == 3 and cell["step"]["cpu_ms"] > 0 for cell in found["cells"])
    supervised, kd = found["cells"]
    assert supervised["gain"]["values"] == [a - b for a, b in zip(supervised["top1_percent"], kd["top1_percent"])]
    assert kd["gain"] is None and "teacher" in found["before"]
    table = file.with_suffix(".md").read_text()
    assert "| labels alone |" in table and "the teacher: top-1" in table and "ms a step" in table
    assert len(ElementTree.fromstring(file.with_suffix(".svg").read_text()).findall("{*}circle")) == 4
    assert table == table_so_far(comparison)

    capsys.readouterr()
    (out / "done" / "plain.KD_seed1.json").unlink()             # as if it had been killed before it was through
    assert table_so_far(comparison).splitlines()[3].count("±") == 1
    compare(comparison)
    assert [line for line in capsys.readouterr().out.splitlines() if "started" in line or "time of" in line] == [
        "started plain.KD/seed1"]


@pytest.mark.parametrize("change, message", [
    (lambda s: s["methods"][1].update(losses=[{"KDLos": {}}]), r"method 'KD' under recipe 'plain'.*no method 'KDLos'.*KDLoss"),
    (lambda s: s["methods"][1].update(recipes={"slow": {"losses": [{"KDLoss": {"t": 1}}]}}), "'KD' under recipe 'slow'.*'t'"),
    (lambda s: s["methods"][1].update(teacher=False), "'KD' under recipe 'plain'.*KDLoss compares with a teacher"),
    (lambda s: s["methods"][2].update(losses=[]), "'JSD' under recipe 'plain'.*is empty"),
    (lambda s: s["recipes"][1].update(config="gone.yaml"), "under recipe 'slow'.*gone.yaml.* cannot be read"),
    (lambda s: s["recipes"][0].update(set={"Arch.student.name.x": 1}), "under recipe 'plain'.*holds no 'x'"),
])
def test_a_cell_that_cannot_be_built_is_found_before_the_first_job_starts(folder, section, change, message, capsys):
    change(section)
    with pytest.raises(InputError, match=f"(?s)methods.yaml: .*{message}"):
        compare(comparison_of(folder, section))
    assert "started" not in capsys.readouterr().out and not (folder / "out").exists()


def test_a_table_of_nothing_says_so_and_runs_nothing(folder, section):
    rows = table_so_far(comparison_of(folder, section)).splitlines()
    assert rows[2] == "| labels alone | - | - | - | - |" and len(rows) == 6 and not (folder / "out").exists()


def test_the_command_prints_what_it_would_run(folder, section, capsys):
    (folder / "methods.yaml").write_text(yaml.safe_dump({"Compare": section}))
    assert cli.main(["compare", "-c", str(folder / "methods.yaml"), "-o", "Compare.seeds=[7]", "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and all(line.startswith("ssld train -c ") and "Global.seed=7" in line for line in lines)
    assert cli.main(["compare", "-c", str(folder / "methods.yaml"), "-o", "Compare.seeds=[7]", "--table"]) == 0
    assert "| KD |" in capsys.readouterr().out


def test_a_run_that_is_too_short_to_be_timed_is_refused_by_the_clock(folder):
    order = {"config": str(folder / "teacher.yaml"), "overrides": [], "warm_up": 2, "steps": 2, "out": str(folder / "t.json")}
    done = subprocess.run([sys.executable, "-m", "ssld.compare.clock", json.dumps(order)], capture_output=True, text=True)
    assert done.returncode == 2 and "over after 3 steps, and 5 are needed" in done.stderr and not (folder / "t.json").exists()
