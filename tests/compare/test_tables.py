from __future__ import annotations

import pytest

from ssld.compare.read import read_comparison
from ssld.compare.results import Result, add_gains
from ssld.compare.tables import statements, table
from ssld.compare.timing import StepTime
from ssld.config import Config


@pytest.fixture
def comparison(section):
    return read_comparison(Config({"Compare": section}, "methods.yaml"))


def results_of(comparison, steps=10, **accuracies):
    """Results of cells whose names have "__" for "."; the others are not through."""
    found = {cell.name: Result(cell, dict(enumerate(accuracies.get(cell.name.replace(".", "__"), ()))), steps)
             for cell in comparison.cells}
    for column in comparison.columns:
        add_gains(found, found[f"{column.name}.KD"])
    return found


def test_the_table_gives_accuracy_gain_and_what_is_missing(comparison):
    lines = table(comparison, results_of(comparison, plain__KD=(50.0, 52.0), plain__JSD=(53.0, 57.0)), {}).splitlines()
    assert lines[0] == "| | plain: top-1, % | plain: over KD | slow: top-1, % | slow: over KD |"
    assert lines[2] == "| labels alone | - | - | - | - |"
    assert lines[3] == "| KD | 51.0 ± 1.4 |  | - | - |"
    assert lines[4] == "| JSD | 55.0 ± 2.8 | +4.0 ± 1.4 | - | - |"


def test_gains_beyond_noise_are_bold_and_starred_where_they_hold_among_all(comparison):
    kd, jsd = (50.0, 52.0, 54.0), (51.0, 53.4, 55.8)                # p = 0.026
    firm = results_of(comparison, plain__KD=kd, plain__supervised=(40.0, 42.01, 44.0), plain__JSD=jsd)
    rows = table(comparison, firm, {}).splitlines()
    assert "**-10.0 ± 0.0** *" in rows[2] and "**+1.4 ± 0.4** *" in rows[4]
    rows = table(comparison, results_of(comparison, plain__KD=kd, plain__supervised=(40.0, 55.0, 46.0), plain__JSD=jsd), {})
    assert "**+1.4 ± 0.4** |" in rows and "| -5.0 ± 7.0 |" in rows


def test_seeds_are_paired_by_their_numbers(comparison):
    found = results_of(comparison, plain__KD=(50.0, 60.0))
    found["plain.JSD"] = found["plain.JSD"]._replace(top1={1: 61.0, 2: 99.0})
    add_gains(found, found["plain.KD"])
    assert found["plain.JSD"].gain.values == (1.0,)


def test_times_stand_beside_their_recipe(comparison):
    times = {"plain.KD": StepTime(41.6, 50.0), "plain.supervised": StepTime(20.8, 25.0), "slow.JSD": StepTime(7.4, 9.0)}
    lines = table(comparison, results_of(comparison), times).splitlines()
    assert lines[0].count("ms a step") == 2 and lines[3] == "| KD | - | - | 42 (1.00 x) | - | - | - |"
    assert "| - | - | 21 (0.50 x) |" in lines[2] and lines[4].endswith("| 7 |")


def test_a_method_that_is_not_run_under_a_recipe_has_empty_fields(section):
    section["methods"][2]["recipes"] = {"plain": None}
    comparison = read_comparison(Config({"Compare": section}, "methods.yaml"))
    assert table(comparison, results_of(comparison), {}).splitlines()[4] == "| JSD |  |  | - | - |"


def test_the_sentences_name_what_exceeds_the_noise_and_what_does_not(comparison):
    said = "\n".join(statements(comparison, results_of(
        comparison, plain__KD=(50.0, 52.0, 54.0), plain__supervised=(40.0, 42.1, 44.0), plain__JSD=(51.0, 50.0, 57.0))))
    assert "plain, better than KD beyond noise: none." in said
    assert "plain, worse than KD beyond noise: labels alone." in said
    assert "plain, not to be told from KD: JSD." in said
    assert "2 differences were looked at, each by a 95% interval over 3 paired seeds; chance alone puts 0.1" in said
    assert "Holm): labels alone." in said and "slow, " not in said


def test_one_seed_makes_no_claim(comparison):
    said = "\n".join(statements(comparison, results_of(comparison, plain__KD=(50.0,), plain__JSD=(90.0,))))
    assert "with one seed nothing can be said" in said and "beyond noise: " not in said


def test_budgets_that_differ_are_said_aloud(comparison):
    found = results_of(comparison, plain__KD=(50.0,), plain__JSD=(50.0,))
    assert "plain: 10 steps each." in "\n".join(statements(comparison, found))
    found["plain.JSD"] = found["plain.JSD"]._replace(steps=1000)
    assert "plain: the budgets are NOT equal; runs had 10, 1,000 steps" in "\n".join(statements(comparison, found))


def test_without_a_reference_there_are_no_gains(section):
    del section["reference"]
    comparison = read_comparison(Config({"Compare": section}, "methods.yaml"))
    found = {cell.name: Result(cell, {0: 50.0}, 10) for cell in comparison.cells}
    assert "over" not in table(comparison, found, {}) and statements(comparison, found) == [
        "- plain: 10 steps each.", "- slow: 10 steps each."]
