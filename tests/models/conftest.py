"""What holds for any network."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import make_engine


@pytest.fixture(scope="session")
def assert_random_in_training_only():
    """(network in evaluation mode, images): the same images get the same answer there, and another one in training."""
    def check(network, images: np.ndarray) -> None:
        image = paddle.to_tensor(images)
        np.testing.assert_array_equal(network(image).numpy(), network(image).numpy())
        network.train()
        assert np.abs(network(image).numpy() - network(image).numpy()).max() > 1e-3
    return check


@pytest.fixture
def assert_engine_agrees(capsys):
    """(network, images by their number): the default engine runs it, for any batch, without a complaint."""
    def check(network, images) -> None:
        engine, eager = make_engine(network), EagerEngine(network)
        for count in (3, 1):
            image = paddle.to_tensor(images(count))
            np.testing.assert_allclose(engine(image).numpy(), eager(image).numpy(), atol=1e-4)
        assert engine.name == "onednn_fp32" and not capsys.readouterr().err
    return check
