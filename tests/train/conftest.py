"""What tests of whole runs share."""
from __future__ import annotations

import copy

import numpy as np
import paddle
import pytest

from ssld.config import Config
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.teachers.eager import EagerEngine
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import train
from ssld.train.runlog import read_events
from ssld.train.trainer import Trainer

TIMES = ("time", "images_per_s")


@pytest.fixture
def run(tiny, tmp_path):
    """run(output, section={...}) trains the tiny config with changed sections; returns the output folder."""
    def run(output: str = "run", dry_run: bool = False, restart: bool = False, **sections):
        data = copy.deepcopy(tiny)
        for name, settings in sections.items():
            data.setdefault(name, {}).update(settings)
        data["Global"]["output_dir"] = str(tmp_path / output)
        train(Config(data, "run.yaml"), dry_run, restart)
        return tmp_path / output
    return run


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(step): the next runs are interrupted when they come to this step (from 0), until stop_at(None)."""
    original = Trainer.begin_step

    def stop_at(step):
        def begin_step(self):
            if self.step == step:
                raise KeyboardInterrupt
            original(self)
        monkeypatch.setattr(Trainer, "begin_step", begin_step)
    return stop_at


@pytest.fixture
def taught(tiny, tmp_path):
    """taught(engine=..., ...) gives the tiny run a teacher with weights and statistics of its own."""
    paddle.seed(9)
    network = build_network("SmallResNet", 4, width=8)
    for _ in range(3):
        network(paddle.randn([8, 3, 16, 16]) * 2 + 1)
    save_weights(network, tmp_path / "teacher.pdparams")
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}]

    def taught(**options):
        tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "eager",
                                   "pretrained": str(tmp_path / "teacher"), **options}
        return tiny
    taught()
    return taught


@pytest.fixture
def asked(monkeypatch):
    """The batch sizes that an eager network was asked about."""
    sizes, original = [], EagerEngine.__call__
    monkeypatch.setattr(EagerEngine, "__call__", lambda self, image: sizes.append(len(image)) or original(self, image))
    return sizes


@pytest.fixture(scope="session")
def left_by():
    """What a run leaves behind, but for the times: (training arrays, student, card, events).

    A process that is killed between saving a checkpoint and noting it in the log never notes it, so these events do
    not count.
    """
    def left_by(folder) -> tuple:
        checkpoint = latest_checkpoint(folder)
        card = {key: value for key, value in checkpoint.card.items() if key != "sha256"}
        events = [{k: v for k, v in event.items() if k not in TIMES} for event in read_events(folder)
                  if event["event"] in ("train", "eval")]
        return checkpoint.training_state(), read_state(checkpoint.folder), card, events
    return left_by


@pytest.fixture(scope="session")
def assert_same_run(left_by):
    """Two output folders hold the same run, to the bit."""
    def assert_same(one, other) -> None:
        for mine, theirs in zip(left_by(one)[:2], left_by(other)[:2]):
            assert mine.keys() == theirs.keys()
            for name in mine:
                np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
        assert left_by(one)[2:] == left_by(other)[2:]
    return assert_same


@pytest.fixture(scope="session")
def without_batch_norm():
    """`trainable` of a SmallResNet of depth 8 whose batch norm stands still: statistics, scale and shift."""
    blocks = [f"stage{s}.0.{conv}.0" for s in (1, 2, 3) for conv in ("conv1", "conv2", "short") if (s, conv) != (1, "short")]
    return ["stem.0", *blocks, "fc"]
