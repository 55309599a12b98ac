from __future__ import annotations

from ssld.recipe.plan import Stage
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
