import re
from xml.etree import ElementTree

from ssld.report.bars import Bar, Branch, ClassCounts, Mark, bars, class_bars, flow
from ssld.report.charts import file


def test_bars_begin_at_zero_and_are_as_long_as_their_values():
    chart = bars([Bar("a", 40, 0, "40 %"), Bar("b", 60, 0, "60 %")], [Mark("teacher", 80)], "ladder")
    assert re.findall(r'<rect class="bar[^"]*"[^>]* width="([\d.]+)%"', chart.body) == ["50.00", "75.00"]


def test_a_whisker_reaches_one_error_to_either_side():
    chart = bars([Bar("a", 50, 10, "50 %")], [Mark("teacher", 100)], "ladder")
    assert 'x1="40.00%" x2="60.00%"' in chart.body


def test_a_reference_is_a_dashed_line_at_its_value():
    chart = bars([Bar("a", 40, 0, "40 %")], [Mark("teacher 80 %", 80)], "ladder")
    assert 'class="mark" x1="100.00%"' in chart.body and "teacher 80 %" in chart.body


def test_branches_are_as_broad_as_their_counts():
    chart = flow("lines", [Branch("selected", 150, "", True), Branch("duplicate", 50, "")], "flow")
    heights = [float(h) for h in re.findall(r'class="end[^>]* width="5" height="([\d.]+)"', chart.body)]
    assert heights == [150.0, 50.0]


def test_an_empty_pool_and_accuracies_of_zero_can_be_drawn():
    for chart in (flow("lines", [Branch("selected", 0, "", True)], "flow"), bars([Bar("a", 0, 0, "0 %")], [], "ladder"),
                  class_bars([ClassCounts("cat", 0, 0, 0)], "classes")):
        assert ElementTree.fromstring(file(chart)) is not None


def test_a_class_shows_its_counts_and_the_other_selection():
    chart = class_bars([ClassCounts("<cat>", 10, 40, 20, 30)], "classes", "random")
    assert 'class="wide" y="4" width="100.00%"' in chart.body and 'class="narrow" y="10" width="50.00%"' in chart.body
    assert 'class="ring" cx="75.00%"' in chart.body and "20 of 40" in chart.body and "&lt;cat&gt;" in chart.body
    assert len(chart.legend) == 4
