from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.distiller import Distiller, Term
from ssld.methods.base import Method
from ssld.models.zoo import build_network
from ssld.teachers.engines import make_engine
from ssld.teachers.live import LiveTeacher
from ssld.teachers.record import TeacherIdentity


class Matches(Method):
    """Mean squared difference of a projected stage, to see that features arrive."""

    needs = frozenset({"features"})
    student_taps, teacher_taps = ("stage3",), ("stage3", "pool")

    def attach(self, site):
        self.site = site
        self.project = paddle.nn.Conv2D(site.student["stage3"][0], site.teacher["stage3"][0], 1)

    def forward(self, student, teacher, batch):
        return ((self.project(student.features["stage3"]) - teacher.features["stage3"]) ** 2).mean()


@pytest.fixture
def batch():
    return {"image": paddle.to_tensor(np.random.default_rng(0).normal(0, 1, (4, 3, 16, 16)).astype("float32"))}


def teacher_by(network, engine: str) -> LiveTeacher:
    return LiveTeacher(make_engine(network, engine), TeacherIdentity("SmallResNet", 4, "x", "y", engine, "running"))


def test_every_engine_shows_the_same_features(batch):
    network = build_network("SmallResNet", 4, width=8)
    said = []
    for engine in ("eager", "onednn_fp32"):
        teacher = teacher_by(network, engine)
        assert teacher.show(["stage2", "pool"], (16, 16)) == {"stage2": (16, 8, 8), "pool": (32,)}
        said.append(teacher(batch))
    assert set(said[0].features) == {"stage2", "pool"}
    for name in said[0].features:
        np.testing.assert_allclose(said[1].features[name].numpy(), said[0].features[name].numpy(), atol=1e-4)
    np.testing.assert_allclose(said[1].logits.numpy(), network(batch["image"]).numpy(), atol=1e-4)


def test_a_method_gets_its_layers_when_shapes_are_known_and_they_train_with_the_student(batch):
    teacher = teacher_by(build_network("SmallResNet", 4, width=8), "eager")
    model = Distiller(build_network("SmallResNet", 4, width=4), teacher, [Term(Matches())])
    model.attach((16, 16), np.array([0, 1, -1]), seed=3)
    assert model.methods[0].site.labels.tolist() == [0, 1, -1] and model.methods[0].site.seed == 3
    model.train()
    losses = model(batch)
    losses.total.backward()
    assert np.abs(model.methods[0].project.weight.grad.numpy()).max() > 0
    assert np.abs(model.student.stem[0].weight.grad.numpy()).max() > 0
    assert any("project" in name for name in model.state_dict()) and "project" not in " ".join(model.student.state_dict())
