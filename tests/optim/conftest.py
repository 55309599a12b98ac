"""Steps of an optimizer under given gradients."""
from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def fixed_gradients():
    """name -> a random gradient for every trainable parameter of a network."""
    def draw(network, seed: int = 0) -> dict:
        rng = np.random.default_rng(seed)
        return {name: rng.normal(size=p.shape).astype(np.float32) for name, p in network.named_parameters()
                if not p.stop_gradient}
    return draw


@pytest.fixture(scope="session")
def take_step():
    """One optimizer step in which each parameter's gradient is the given one."""
    def step(network, optimizer, gradients: dict) -> None:
        sum((p * gradients[name]).sum() for name, p in network.named_parameters() if name in gradients).backward()
        optimizer.step()
        optimizer.clear_grad()
    return step


@pytest.fixture(scope="session")
def weights_of():
    """name -> array of every trainable parameter."""
    def weights(network) -> dict:
        return {name: p.numpy().copy() for name, p in network.named_parameters() if not p.stop_gradient}
    return weights
