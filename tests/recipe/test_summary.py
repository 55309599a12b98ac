from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from ssld.recipe.plan import Stage
from ssld.recipe.plot import draw_ladder
from ssld.recipe.summary import Result, table

SUPERVISED = Result(Stage("supervised", "x.yaml"), (0.5, 0.52, 0.54), 100, None)
TAUGHT = Result(Stage("taught", "x.yaml", title="taught", compare="supervised", published="+0.3"), (0.6, 0.61, 0.65), 300,
                (10.0, 9.0, 11.0))


def test_the_table_gives_mean_and_sample_deviation_of_accuracies_and_gains():
    lines = table([SUPERVISED, TAUGHT]).splitlines()
    assert lines[2] == "| supervised | 52.0 ± 2.0 |  |  |  | 100 |"
    assert lines[3] == "| taught | 62.0 ± 2.6 | +10.0 ± 1.0 | supervised | +0.3 | 300 |"


def test_a_single_seed_has_no_spread():
    assert "| 50.0 |" in table([Result(Stage("one", "x.yaml"), (0.5,), 10, None)])


@pytest.mark.parametrize("values", [[[50.0, 51.0], [70.0]], [[99.9]], [[0.0], [100.0]], [[10.0], [10.0]]])
def test_the_plot_is_one_picture_with_a_dot_for_every_seed_inside_it(values):
    svg = ElementTree.fromstring(draw_ladder("<title> & more", [(f"row {i}", row) for i, row in enumerate(values)]))
    spots = [(float(dot.get("cx")), row) for dot, row in zip(svg.findall("{*}circle"), [v for row in values for v in row])]
    assert len(spots) == sum(map(len, values))
    assert all(330 <= x <= 800 for x, _ in spots)
    assert [x for x, _ in sorted(spots, key=lambda spot: spot[1])] == sorted(x for x, _ in spots)
    assert svg.find("{*}text").text == "<title> & more"
