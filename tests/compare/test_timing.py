from __future__ import annotations

import pytest

from ssld.compare import timing
from ssld.compare.read import read_comparison
from ssld.config import Config


@pytest.fixture
def comparison(folder, section):
    """Six cells that are measured in three rounds; `measured` notes what, in order, with times that count up."""
    section["timing"] = {"steps": 2, "warm_up": 1}
    return read_comparison(Config({"Compare": section}, str(folder / "methods.yaml")))


@pytest.fixture
def measured(monkeypatch):
    names = []

    def measure(comparison, job):
        names.append(job.stage.name)
        return {"cpu_ms": float(len(names)) ** 2, "wall_ms": 1.0}
    monkeypatch.setattr(timing, "_measure", measure)
    return names


def test_rounds_go_over_all_cells_and_their_median_counts(comparison, measured):
    timing.measure_times(comparison)
    cells = [cell.name for cell in comparison.cells]
    assert measured == cells * 3
    assert timing.read_times(comparison) == {name: ((place + 7) ** 2, 1.0) for place, name in enumerate(cells)}


def test_what_is_measured_is_not_measured_again_unless_it_changes(comparison, measured, folder):
    timing.measure_times(comparison)
    measured.clear()
    timing.measure_times(comparison)
    assert measured == []
    text = (folder / "slow.yaml").read_text()
    (folder / "slow.yaml").write_text(text.replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert timing.read_times(comparison).keys() == {"plain.supervised", "plain.KD", "plain.JSD"}
    timing.measure_times(comparison)
    assert measured == ["slow.supervised", "slow.KD", "slow.JSD"] * 3


def test_an_interrupted_measurement_goes_on_in_its_round(comparison, measured, monkeypatch):
    whole = timing._measure

    def breaks(*arguments):
        if len(measured) == 8:
            raise KeyboardInterrupt
        return whole(*arguments)
    monkeypatch.setattr(timing, "_measure", breaks)
    with pytest.raises(KeyboardInterrupt):
        timing.measure_times(comparison)
    assert timing.read_times(comparison) == {}
    monkeypatch.setattr(timing, "_measure", whole)
    timing.measure_times(comparison)
    assert measured == [cell.name for cell in comparison.cells] * 3


def test_timing_can_be_left_out(section):
    section["timing"] = None
    comparison = read_comparison(Config({"Compare": section}, "methods.yaml"))
    assert comparison.timing is None and timing.read_times(comparison) == {}
