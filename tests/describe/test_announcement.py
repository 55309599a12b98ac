from __future__ import annotations

import paddle
import pytest

from ssld.describe.announcement import announcement, total_cost
from ssld.describe.count import parameter_count
from ssld.distiller import Distiller, Term
from ssld.methods.base import Cost, Method
from ssld.methods.ce import CELoss
from ssld.models.small_resnet import SmallResNet
from ssld.teachers.eager import EagerEngine
from ssld.teachers.live import LiveTeacher


class Costly(Method):
    """Two components, and a layer of 2 MiB."""

    def __init__(self):
        super().__init__()
        self.layer = paddle.nn.Linear(1024, 512, bias_attr=False)

    def cost(self):
        return {"first": Cost(1_500_000, 2_000_000_000), "second": Cost(500_000, 0)}


@pytest.fixture
def student():
    paddle.seed(0)
    return SmallResNet(4, width=4)


def test_components_their_sum_and_the_teachers_memory_are_stated(student):
    teacher = SmallResNet(4, width=8)
    lines = announcement(Distiller(student, LiveTeacher(EagerEngine(teacher)), [Term(Costly()), Term(CELoss())]))
    assert lines[0] == ("Costly adds in training: 2.00 M parameters, 2.000 G multiply-adds per image; 2.0 MiB of weights, as "
                        "much of gradients and for each average that the optimizer keeps")
    assert lines[1:3] == ["  first: 1.50 M parameters, 2.000 G multiply-adds per image",
                          "  second: 0.50 M parameters, 0.000 G multiply-adds per image"]
    kept = sum(tensor.numpy().nbytes for tensor in teacher.state_dict().values())
    assert lines[3] == f"teacher: {parameter_count(teacher) / 1e6:.2f} M parameters, {kept / 2 ** 20:.1f} MiB, in memory once"


def test_a_run_without_such_methods_says_nothing(student):
    assert announcement(Distiller(student, None, [Term(CELoss())])) == []


def test_costs_add_up():
    assert total_cost({"a": Cost(1, 2), "b": Cost(10, 20)}) == Cost(11, 22) and total_cost({}) == Cost(0, 0)
