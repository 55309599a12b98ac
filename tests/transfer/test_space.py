from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.export.multipliers import PUBLISHED
from ssld.models.stages import Stages
from ssld.transfer.plan import Search
from ssld.transfer.space import Range, Setting, build_space, changes, named_sets

RESNET = Stages("ResNet", (("stem",), *((f"blocks.{place}",) for place in range(4))), "fc")
UNKNOWN = Stages("Toy", (("stem",), ("body",), ("end",)), "fc")
MOMENTUM = Config({"Optimizer": {"lr": {"learning_rate": 0.1}, "regularizer": {"name": "L2", "coeff": 3e-5}}})
ADAMW = Config({"Optimizer": {"name": "AdamW", "lr": {"learning_rate": 0.001}, "weight_decay": 0.05}})


@pytest.mark.parametrize("use", ["classification", "detection"])
def test_the_sets_are_the_published_list_half_of_it_twice_it_and_ones(use):
    sets, remark = named_sets(RESNET, use)
    published = PUBLISHED["ResNet"][use]
    assert list(sets) == ["published", "half", "double", "ones"] and "2103.05959" in remark
    assert list(sets["published"]) == published and sets["ones"] == (1,) * 5
    assert list(sets["half"]) == pytest.approx([value / 2 for value in published])
    assert list(sets["double"]) == pytest.approx([value * 2 for value in published])


def test_where_nothing_is_published_the_multipliers_rise_and_are_not_called_published():
    sets, remark = named_sets(UNKNOWN, "classification")
    assert list(sets) == ["rising", "half", "double", "ones"] and remark == "nothing is published for Toy"
    assert sets["rising"] == (0.25, 0.5, 0.75) and sets["double"] == (0.5, 1.0, 1.5)


def test_what_is_not_searched_is_as_the_config_says():
    space = build_space(Search(), MOMENTUM, RESNET, "classification")
    assert space.multipliers == ["published", "half", "double", "ones"] and space.learning_rate == [0.1] and space.l2 == [3e-5]
    assert build_space(Search(), ADAMW, RESNET, "classification").l2 == [0.05]
    assert build_space(Search(), Config({"Optimizer": {"lr": {"learning_rate": 1}}}), UNKNOWN, "classification").l2 == [None]


def test_lists_are_called_after_their_values_and_sets_that_agree_are_tried_once():
    search = Search(multipliers=["ones", [1, 1, 1], [0.1, 0.5, 1]], learning_rate=[0.1, 0.1, 0.2],
                    l2={"low": 1e-5, "high": 1e-4})
    space = build_space(search, MOMENTUM, UNKNOWN, "classification")
    assert space.multipliers == ["ones", "0.1 0.5 1"] and space.sets["0.1 0.5 1"] == (0.1, 0.5, 1.0)
    assert space.learning_rate == [0.1, 0.2] and space.l2 == Range(1e-5, 1e-4)


def test_a_setting_changes_multipliers_rate_and_l2_of_a_run():
    space = build_space(Search(), MOMENTUM, RESNET, "classification")
    setting = Setting("ones", 0.2, 1e-4)
    assert changes(setting, space, MOMENTUM) == {"Arch.student.lr_mult_list": [1] * 5, "Optimizer.lr.learning_rate": 0.2,
                                                 "Optimizer.regularizer.coeff": 1e-4}
    assert "Optimizer.weight_decay" in changes(setting, space, ADAMW)
    assert not any(key.endswith("coeff") for key in changes(setting._replace(l2=None), space, MOMENTUM))
    assert str(setting) == "ones, rate 0.2, l2 0.0001" and str(setting._replace(l2=None)) == "ones, rate 0.2"
