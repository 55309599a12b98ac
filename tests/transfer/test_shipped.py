"""Every shipped transfer can be read, and says what SSLD says."""
from __future__ import annotations

from pathlib import Path

import pytest

from ssld import build
from ssld.config import Config
from ssld.models.stages import stages_of
from ssld.models.zoo import build_network
from ssld.timetable import Timetable
from ssld.transfer.plan import read_transfer
from ssld.transfer.search import epochs_of
from ssld.transfer.space import build_space

FOLDER = Path(__file__).parents[2] / "configs" / "Distillation" / "transfer"
BACKBONES = {"tiny": "ShuffleNetV2_x0_25", "cifar10_held_out": "SmallResNet", "ResNet50_vd": "ResNet50_vd",
             "MobileNetV3_large_x1_0": "MobileNetV3_large_x1_0"}


@pytest.fixture
def shipped():
    """shipped(name) is the plan of a shipped transfer, the config of its trainings, and what it searches."""
    def shipped(name):
        plan = read_transfer(Config.load(FOLDER / f"{name}.yaml"))
        base = Config.load(plan.config)
        stages = stages_of(build_network(BACKBONES[name], 10))
        return plan, base, build_space(plan.search, base, stages, plan.use)
    return shipped


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.yaml")))
def test_a_shipped_transfer_has_a_search_and_a_config_that_can_be_trained(shipped, name):
    plan, base, space = shipped(name)
    assert 1 < space.count(plan.search) <= 24 and "scratch" in plan.final.baselines
    build.build_schedule(base, Timetable.uniform(plan.search.rungs[-1], 1))
    network = build_network("SmallResNet", 10)
    build.build_optimizer(base, network, 0.1)
    if "student" in base.section("Arch"):
        assert base.section("Arch")["student"].get("name", BACKBONES[name]) == BACKBONES[name]


@pytest.mark.parametrize("name, published, l2", [("ResNet50_vd", (0.1, 0.1, 0.2, 0.2, 0.3), {1e-4}),
                                                 ("MobileNetV3_large_x1_0", (0.25, 0.25, 0.5, 0.5, 0.75), {1e-5, 4e-5})])
def test_the_published_lists_and_l2_are_searched(shipped, name, published, l2):
    plan, base, space = shipped(name)
    assert space.multipliers == ["published", "half", "double", "ones"] and space.sets["published"] == published
    assert l2 <= set(space.l2) and base.section("Optimizer")["regularizer"]["coeff"] in l2
    assert epochs_of(space.count(plan.search), plan.search) == 156
