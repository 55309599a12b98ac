import re
from xml.etree import ElementTree

import pytest

from ssld.report.charts import file
from ssld.report.histograms import Counts, histogram, stacked_histograms


def test_columns_of_a_histogram_are_as_high_as_their_counts():
    chart = histogram([0, 0.5, 1], [5, 10], [0, 4], "scores", ("scored", "selected"))
    heights = re.findall(r'class="(?:wide|narrow)"[^>]* height="([\d.]+)%"', chart.body)
    assert heights == ["50.00", "100.00", "0.00", "40.00"]


def test_a_histogram_can_have_one_series():
    chart = histogram([0, 0.5, 1], [5, 10], None, "words", ("crops",))
    assert re.findall(r'class="(?:wide|narrow)"[^>]* height="([\d.]+)%"', chart.body) == ["50.00", "100.00"]
    assert [text for _, text in chart.legend] == ["crops"]


def test_a_file_of_a_chart_is_whole_xml_with_its_colours_written_in():
    text = file(histogram([0, 1], [3], [1], "<words>", ("scored & read", "selected", "random"), stepped=[2]))
    assert ElementTree.fromstring(text).attrib["aria-label"] == "<words>"
    assert "var(" not in text and "#0e7168" in text and "scored &amp; read" in text


def test_stacked_columns_are_as_high_as_the_logarithm_of_their_counts():
    chart = stacked_histograms([0, 0.5, 1], [Counts("removed", [9, 99]), Counts("close", [0, 1])], [], "words")
    heights = re.findall(r'class="(?:wide|narrow)"[^>]* height="([\d.]+)%"', chart.body)
    assert heights == ["50.00", "100.00", "0.00", "100.00"]


@pytest.mark.parametrize("top, shown", [(1, ["0", "1"]), (9, ["0", "1"]), (10, ["0", "10"]),
                                        (2500, ["0", "10", "100", "1,000"])])
def test_the_logarithmic_axis_names_counts(top, shown):
    chart = stacked_histograms([0, 1], [Counts("removed", [top])], [], "words")
    assert re.findall(r'dy="-4">([^<]+)<', chart.body) == shown


def test_thresholds_stand_at_their_values_and_in_the_legend():
    chart = stacked_histograms([0, 20, 40], [Counts("removed", [1, 1])], [("least", 10), ("beyond", 60)], "words")
    left, beyond = re.findall(r'class="mark" x1="([\d.]+)%"', chart.body)
    zero, end = (float(re.search(rf'x="([\d.]+)%"[^>]*>{n}<', chart.body)[1]) for n in (0, 40))
    assert (float(left), float(beyond)) == pytest.approx((zero + (end - zero) / 4, end))
    assert [text for _, text in chart.legend] == ["removed", "least: 10", "beyond: 60"]
