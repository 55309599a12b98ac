import json
import math

import pytest

from ssld.errors import InputError
from ssld.report.ladder import evaluated_alike, gain, read_run
from ssld.report.settings import Rung


@pytest.fixture
def run_of(tmp_path, make_run):
    def run(name, *args, **kwargs):
        return read_run(Rung(name, str(make_run(tmp_path / name, *args, **kwargs))))
    return run


def test_the_accuracy_is_that_of_the_last_evaluation_not_the_best(run_of):
    assert run_of("a", (0.7, 0.6)).top1 == 0.6


def test_the_standard_error_is_that_of_a_proportion(run_of):
    assert run_of("a", (0.1, 0.25), images=300).error == pytest.approx(math.sqrt(0.25 * 0.75 / 300))


def test_a_gain_is_certain_from_twice_its_standard_error(run_of):
    before, after = run_of("a", (0, 0.5), images=100), run_of("b", (0, 0.6), images=100)
    found = gain(before, after)
    assert found.points == pytest.approx(10) and found.error == pytest.approx(100 * math.sqrt(0.0025 + 0.0024))
    assert not found.is_certain and gain(before, run_of("c", (0, 0.7), images=100)).is_certain
    assert gain(before, run_of("d", (0, 0.2), images=100)).is_certain


def test_wall_time_adds_up_sessions_and_leaves_out_the_time_between(tmp_path, make_run):
    folder = make_run(tmp_path / "a", seconds=30)
    with open(folder / "log.jsonl", "a") as log:
        for event in ({"event": "start", "time": 900.0, "total_steps": 20}, {"event": "end", "time": 902.5}):
            log.write(json.dumps(event) + "\n")
    assert read_run(Rung("a", str(folder))).seconds == pytest.approx(32.5)


def test_a_run_that_is_not_finished_is_refused(run_of):
    with pytest.raises(InputError, match="'a' in .* is not finished: its log ends at step 10 of 20"):
        run_of("a", finished=False)


def test_a_run_that_was_prolonged_and_not_finished_is_refused(tmp_path, make_run):
    folder = make_run(tmp_path / "a")
    with open(folder / "log.jsonl", "a") as log:
        log.write(json.dumps({"event": "start", "time": 900.0, "total_steps": 40}) + "\n")
    with pytest.raises(InputError, match="step 20 of 40"):
        read_run(Rung("a", str(folder)))


def test_a_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(InputError, match="log.jsonl does not exist or is empty"):
        read_run(Rung("a", str(tmp_path)))


def test_a_run_without_evaluation_is_refused(tmp_path, make_run):
    folder = make_run(tmp_path / "a")
    kept = [line for line in (folder / "log.jsonl").read_text().splitlines(True) if '"eval"' not in line]
    (folder / "log.jsonl").write_text("".join(kept))
    with pytest.raises(InputError, match="never evaluated"):
        read_run(Rung("a", str(folder)))


def test_runs_on_different_evaluation_lists_are_told_apart(run_of):
    first = run_of("a")
    assert evaluated_alike([first, run_of("b")])
    assert not evaluated_alike([first, run_of("c", evaluation="other.txt")])
    assert not evaluated_alike([first, run_of("d", images=100)])
