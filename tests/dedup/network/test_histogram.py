import re
from xml.etree import ElementTree

import numpy as np
import pytest

from dedup.network.histogram import histogram_svg


def test_bars_are_as_many_as_the_bins_that_hold_something_and_the_highest_fills_the_height():
    page = histogram_svg({"a": np.array([0.0, 0.0, 1.0]), "b": np.array([0.5])}, {}, "title")
    paths = [node.attrib["d"] for node in ElementTree.fromstring(page).iter("{http://www.w3.org/2000/svg}path")]
    heights = [[float(h) for h in re.findall(r"v-([\d.]+)", path)] for path in paths]
    assert [len(h) for h in heights] == [2, 1]
    assert heights[0][0] == 2 * heights[0][1] == heights[1][0]


def test_a_mark_stands_where_its_value_belongs():
    page = histogram_svg({"a": np.array([0.0, 1.0])}, {"low": 0.0, "middle": 0.5, "high": 1.0}, "title")
    lines = [float(n.attrib["x1"]) for n in ElementTree.fromstring(page).iter("{http://www.w3.org/2000/svg}line")]
    assert lines[1] - lines[0] == pytest.approx(lines[2] - lines[1]) and lines[2] > lines[0]


@pytest.mark.parametrize("columns", [{"a": np.zeros(0), "b": np.ones(3)}, {"a": np.full(4, 0.5)}])
def test_empty_and_constant_populations_can_be_drawn(columns):
    ElementTree.fromstring(histogram_svg(columns, {"t": 0.5}, "title"))


def test_names_and_titles_are_escaped():
    page = histogram_svg({"a<b": np.ones(1)}, {"x&y": 1.0}, "<script>")
    assert "<script>" not in page and ElementTree.fromstring(page) is not None
