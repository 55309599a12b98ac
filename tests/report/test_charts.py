import re

import pytest

from ssld.report.charts import Line, inline, lines, place, ticks


@pytest.mark.parametrize("low, high", [(0, 1), (0, 83.2), (3, 3), (0, 450_000), (-2.5, 0.3), (0, 1e-5)])
def test_ticks_enclose_the_values_in_equal_steps(low, high):
    found = ticks(low, high)
    steps = {round((b - a) / (found[1] - found[0]), 6) for a, b in zip(found, found[1:])}
    assert found[0] <= low and found[-1] >= high and steps == {1.0} and 2 <= len(found) <= 9


def test_a_place_is_a_percentage_of_the_way():
    assert place(5, 0, 20) == "25.00%"


def test_a_curve_runs_through_its_points():
    chart = lines([Line("loss", [(0, 4.0), (50, 2.0), (100, 0.0)], 0)], "loss")
    assert re.search(r'points="([^"]+)"', chart.body)[1] == "0.00,0.00 50.00,50.00 100.00,100.00"


def test_large_numbers_on_an_axis_are_written_out():
    assert ">2,000,000</text>" in lines([Line("loss", [(0, 1.0), (2_000_000, 0.5)], 0)], "loss").body


def test_lines_differ_in_dashes_and_markers_and_not_in_colour_alone():
    chart = lines([Line(f"run {i}", [(0, i), (1, i + 1)], i) for i in range(5)], "five")
    shapes = {sample.split(' d="M0,7h30"/>')[1].split('d="')[1].split('"')[0] for sample, _ in chart.legend}
    assert len(shapes) == 5


def test_a_chart_in_a_page_says_in_words_what_it_shows():
    made = inline(lines([Line("a", [(1, 1)], 0)], 'loss over "steps"'))
    assert 'role="img" aria-label="loss over &quot;steps&quot;"' in made
