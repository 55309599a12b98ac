"""The demo's configs become those of its output folder, and its road is complete."""
import json
from pathlib import Path

import pytest

from ssld.cli import build_parser
from ssld.config import Config
from ssld.demo import road
from ssld.errors import InputError


def test_every_config_points_into_the_output_folder_and_has_the_seed(tmp_path):
    folder = road._write_configs(road._shipped_configs(), tmp_path / "out", seed=7)
    for stage in road.ROAD:
        text = Config.load(folder / f"{stage.config}.yaml").to_yaml()
        assert "demo_output" not in text and str(tmp_path / "out") in text
        if stage.command == "train":
            assert Config.load(folder / f"{stage.config}.yaml").section("Global")["seed"] == 7


def test_every_stage_is_a_command_line_that_ssld_understands(tmp_path):
    (tmp_path / "expand").mkdir()
    (tmp_path / "expand" / "report.json").write_text(json.dumps({"pool": {"selected": 5}}))
    for stage in road.ROAD:
        arguments = build_parser().parse_args(road._arguments(stage, Path("configs"), tmp_path))
        assert arguments.command == stage.command


def test_the_shares_of_the_stages_add_up_to_the_whole():
    assert sum(stage.share for stage in road.ROAD) == pytest.approx(1.0)


def test_a_stage_that_fails_stops_the_road_and_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(road, "make_task", lambda out, seed: type("Summary", (), {"counts": {"train": 1}}))
    with pytest.raises(InputError, match="stage 1 with status 2"):
        road.run_demo(tmp_path, lambda argv: 2)


def test_outside_a_clone_the_demo_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(road, "CONFIGS", Path("no_such_folder"))
    with pytest.raises(InputError, match="no_such_folder.*clone"):
        road.run_demo(tmp_path / "out", lambda argv: 0)
