"""A transfer that is killed again and again, each time with a run under way, ends as if nothing had happened."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from ssld.config import Config
from ssld.train.runlog import read_events
from ssld.transfer.plan import read_transfer
from ssld.transfer.run import transfer

pytest.importorskip("optuna")
ROOT = Path(__file__).resolve().parents[2]
SHORT = {"search": {"multipliers": ["ones", "half"], "learning_rate": [0.01, 0.1], "rungs": [1, 2], "eta": 2},
         "final": {"seeds": [0], "baselines": ["scratch"]}}


def outcome(file: Path) -> tuple:
    found = json.loads(file.read_text())
    return found["search"], [row["top1"] for row in found["final"]]


@pytest.mark.slow
def test_a_killed_transfer_goes_on_and_finds_the_same(section, tmp_path, changed, in_process):
    section = changed(section, {**SHORT, "output_dir": str(tmp_path / "whole")})
    whole = transfer(read_transfer(Config({"Transfer": section}, str(tmp_path / "transfer.yaml"))))
    out = tmp_path / "cut"
    (tmp_path / "cut.yaml").write_text(yaml.safe_dump({"Transfer": {**section, "output_dir": str(out)}}))
    command = [sys.executable, "-m", "ssld", "transfer", "-c", str(tmp_path / "cut.yaml"), "--jobs", "2"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    for log in ("search/logs/trial00.log", "search/logs/trial02.log", "final/logs/best_seed0.log"):
        process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
        while process.poll() is None and not (out / log).exists():
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGKILL)         # the runs that it has started go on by themselves
        process.wait()
    subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL)
    assert outcome(out / "transfer.json") == outcome(whole)
    for folder in (out / "search").glob("trial*"):
        steps = [event["step"] for event in read_events(folder) if event["event"] == "train"]
        assert steps == sorted(set(steps))
