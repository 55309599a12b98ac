from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.transfer.final import Row
from ssld.transfer.ledger import Trial
from ssld.transfer.lists import Lists
from ssld.transfer.results import Result, text, with_gains, write_results
from ssld.transfer.space import Setting, Space

SPACE = Space(["half", "ones"], [0.1], [1e-4], {"half": (0.5, 0.25), "ones": (1.0, 1.0), "double": (2.0, 2.0)}, "made up")
TRIALS = [Trial(0, Setting("half", 0.1, 1e-4), {1: 0.5, 2: 0.625}, "complete"),
          Trial(1, Setting("ones", 0.1, 1e-4), {1: 0.25}, "pruned")]
ROWS = [Row("best", "best: half", TRIALS[0].setting, {}), Row("scratch", "from scratch", None, {})]


@pytest.fixture
def lists():
    manifest = Manifest(".", ["a", "b", "c"], np.array([0, 1, 2]))
    return Lists(manifest, manifest.take([0, 1]), None, manifest.take([0]), manifest.take([1]))


def test_gains_are_paired_by_seed():
    best, scratch = with_gains([Result(ROWS[0], (0.8, 0.7), 10), Result(ROWS[1], (0.5, 0.6), 10)])
    assert best.gain is None and scratch.gain.values == pytest.approx([30, 10]) and scratch.gain.mean == pytest.approx(20)


def test_the_tables_say_what_was_measured_on_what(plan_of, lists):
    plan = plan_of({"title": "A task"})
    results = with_gains([Result(ROWS[0], (0.8, 0.7), 1000), Result(ROWS[1], (0.5, 0.6), 1000)])
    lines = text(plan, SPACE, lists, TRIALS, results).splitlines()
    assert lines[0] == "# A task" and "| best: half | 75.0 ± 7.1 |  | 1,000 |" in lines
    assert any(line.startswith("| from scratch | 55.0 ± 7.1 | +20.0 ± 14.1 [") and ", within noise |" in line for line in lines)
    assert "| 0 | half | 0.1 | 0.0001 | 50.0 | 62.5 |" in lines and "| 1 | ones | 0.1 | 0.0001 | 25.0 |  |" in lines
    assert lines[-2:] == ["- half: 0.5 0.25", "- ones: 1 1"]
    assert "on the 2 evaluation images after 2 epochs on 3 training images" in lines[2] and "2 seeds" in lines[2]
    assert any("top-1 in percent on 1 validation images, which no trial learnt from" in line for line in lines)


def test_one_seed_has_neither_spread_nor_interval(plan_of, lists):
    results = with_gains([Result(ROWS[0], (0.8,), 10), Result(ROWS[1], (0.5,), 10)])
    lines = text(plan_of(), SPACE, lists, [], results).splitlines()
    assert "| best: half | 80.0 |  | 10 |" in lines and "| from scratch | 50.0 | +30.0 | 10 |" in lines
    assert not any("The search" in line for line in lines) and "one seed, so nothing can be said about noise." in lines[2]


def test_files_hold_the_same_numbers(plan_of, lists, tmp_path):
    plan = plan_of()
    results = with_gains([Result(ROWS[0], (0.8, 0.7), 10), Result(ROWS[1], (0.5, 0.6), 10)])
    found = json.loads(write_results(plan, SPACE, lists, TRIALS, results).read_text())
    assert found["images"] == {"all": 3, "train": 1, "validation": 1, "eval": 2} and found["epochs"] == 2
    assert found["search"][0]["validation_top1"] == {"1": 0.5, "2": 0.625} and found["search"][1]["state"] == "pruned"
    assert found["final"][0]["multipliers"] == "half" and found["final"][1]["gain_of_best"]["mean"] == pytest.approx(20)
    assert found["multipliers"] == {"half": [0.5, 0.25], "ones": [1.0, 1.0]}
    for name, dots in (("transfer.svg", 4), ("search.svg", 3)):
        assert len(ElementTree.parse(tmp_path / "out" / name).getroot().findall("{*}circle")) == dots
