from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from ssld.recipe.plot import draw_rows


def dots_of(svg):
    return [float(dot.get("cx")) for dot in svg.findall("{*}circle")]


@pytest.mark.parametrize("values", [[[50.0, 51.0], [70.0]], [[99.9]], [[0.0], [100.0]], [[10.0], [10.0]]])
def test_the_plot_is_one_picture_with_a_dot_for_every_seed_inside_it(values):
    svg = ElementTree.fromstring(draw_rows("<title> & more", [f"row {i}" for i in range(len(values))], [("", values)]))
    spots = list(zip(dots_of(svg), [value for row in values for value in row]))
    assert len(spots) == len(svg.findall("{*}circle")) == sum(map(len, values))
    assert all(330 <= x <= 800 for x, _ in spots)
    assert [x for x, _ in sorted(spots, key=lambda spot: spot[1])] == sorted(x for x, _ in spots)
    assert svg.find("{*}text").text == "<title> & more"


def test_panels_stand_side_by_side_each_with_its_heading_and_scale():
    svg = ElementTree.fromstring(draw_rows("t", ["a", "b"], [("low", [[10.0], [12.0]]), ("high", [[80.0], []])]))
    first, second, third = dots_of(svg)
    texts = {text.text: float(text.get("x")) for text in svg.findall("{*}text")}
    assert texts["low"] <= first < second < texts["high"] <= third < float(svg.get("width"))
    assert {"10 %", "80 %", "12.0", "80.0"} <= texts.keys()


def test_a_row_without_values_keeps_its_name_and_its_place():
    svg = ElementTree.fromstring(draw_rows("t", ["a", "b", "c"], [("", [[1.0], [], [2.0]])]))
    heights = [float(dot.get("cy")) for dot in svg.findall("{*}circle")]
    names = {text.text: float(text.get("y")) for text in svg.findall("{*}text")}
    assert heights[1] - heights[0] == pytest.approx(names["c"] - names["a"]) and "b" in names


def test_nothing_at_all_can_be_drawn():
    assert dots_of(ElementTree.fromstring(draw_rows("t", ["a"], [("", [[]])]))) == []


def test_long_names_get_the_room_that_they_need():
    svg = ElementTree.fromstring(draw_rows("t", ["a" * 70, "b"], [("", [[1.0], [2.0]])]))
    name = next(text for text in svg.findall("{*}text") if text.text == "a" * 70)
    assert name.get("text-anchor") == "end" and float(name.get("x")) >= 7 * 70 and min(dots_of(svg)) > float(name.get("x"))
