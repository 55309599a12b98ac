"""Every claim is checked against eager mode, the oracle here."""
from __future__ import annotations

import copy
import os
import subprocess
import sys
import textwrap

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional as F

from ssld.distiller import Distiller, Term
from ssld.errors import InputError
from ssld.methods.js import JSDivLoss
from ssld.models import onednn
from ssld.models.features import WithFeatures
from ssld.models.freeze import Frozen
from ssld.models.onednn import use_onednn
from ssld.models.zoo import build_network
from ssld.optim.optimizers import Momentum
from ssld.outputs import Outputs

CLASSES = 5


class FixedTeacher:
    """The same logits for every batch."""

    provides = frozenset({"logits", "probabilities"})

    def __init__(self, logits):
        self.logits = logits

    def __call__(self, batch):
        return Outputs(self.logits)


def twins(build) -> tuple[nn.Layer, nn.Layer]:
    """The network of `build`, eager, and its copy with oneDNN."""
    paddle.seed(1)
    eager = build()
    fast = copy.deepcopy(eager)
    use_onednn(fast)
    return eager, fast


def train(network, steps: int, size: int, rate: float = 0.01, images: int = 8) -> list[float]:
    """The losses of some distillation steps with Momentum and L2, each on pictures of its own."""
    paddle.seed(2)
    teacher = FixedTeacher(paddle.randn([images, CLASSES]))
    distiller = Distiller(network, teacher, [Term(JSDivLoss())])
    optimizer = Momentum(network=network, learning_rate=rate, weight_decay=1e-4)
    distiller.train()
    losses = []
    for step in range(steps):
        paddle.seed(step)               # the same pictures, and the same dropout
        loss = distiller({"image": paddle.randn([images, 3, size, size])}).total
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    return losses


def difference(network, other) -> float:
    """Largest difference of two networks' tensors, relative to the largest value of each tensor, 0.01 at least."""
    return max(float((a - b).abs().max() / paddle.clip(a.abs().max(), min=0.01))
               for a, b in zip(network.state_dict().values(), other.state_dict().values()))


@pytest.mark.parametrize(("name", "size", "options"), [
    ("SmallResNet", 16, {}), ("SmallResNet", 17, {"depth": 20, "stem_stride": 2}),
    pytest.param("MobileNetV3_small_x0_35", 64, {}, marks=pytest.mark.slow)])
def test_twenty_steps_equal_eager_mode_running_statistics_included(name, size, options):
    eager, fast = twins(lambda: build_network(name, CLASSES, **options))
    before = copy.deepcopy(eager)
    expected, found = (train(network, 20, size, rate=0.001) for network in (eager, fast))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert difference(eager, fast) < 1e-4 < 1e-2 < difference(eager, before)


@pytest.mark.parametrize("options", [
    {}, {"padding": 1}, {"padding": "SAME"}, {"padding": [1, 2]}, {"padding": [0, 1, 2, 0]}, {"stride": 2, "padding": 1},
    {"dilation": 2}, {"groups": 2}, {"groups": 6}, {"groups": 6, "stride": 2, "padding": 1}, {"bias_attr": False}])
def test_output_and_all_gradients_of_one_convolution_are_as_near_to_float64_as_eager_ones(options):
    layers = twins(lambda: nn.Conv2D(6, 12, 3, **options))
    exact = copy.deepcopy(layers[0]).astype("float64")
    paddle.seed(3)
    image, weights = paddle.randn([2, 6, 9, 11]), None
    results = []
    for layer in (exact, *layers):
        before = onednn._program.cache_info()
        x = image.astype(layer.weight.dtype)
        x.stop_gradient = False
        output = layer(x)
        weights = paddle.randn(output.shape) if weights is None else weights
        total = (output * weights.astype(output.dtype)).sum()
        results.append([t.numpy() for t in (output, *paddle.grad(total, [x, *layer.parameters()]))])
    assert onednn._program.cache_info() != before           # the last one did run as a program
    for truth, eager, fast in zip(*results):
        assert abs(fast - truth).max() <= 4 * abs(eager - truth).max() + 1e-6 * abs(truth).max()


def test_convolutions_of_equal_input_and_other_filters_are_not_confused():
    network = nn.Sequential(nn.Conv2D(4, 4, 3, padding=1), nn.Conv2D(4, 4, 5, padding=2), nn.Conv2D(4, 4, 3, padding=1),
                            nn.Conv2D(4, 8, 3, padding=1))
    eager, fast = twins(lambda: network)
    image = paddle.randn([2, 4, 8, 8])
    for _ in range(2):                  # oneDNN's primitives are made in the first round and found again in the second
        results = []
        for one in (eager, fast):
            output = one(image)
            results.append([output, *paddle.grad(output.square().sum(), one.parameters())])
        for a, b in zip(*results):
            assert float((a - b).abs().max()) < 1e-5 * float(a.abs().max())


def test_a_layer_called_twice_gets_the_gradients_of_both_calls():
    eager, fast = twins(lambda: nn.Conv2D(4, 4, 3, padding=1))
    image = paddle.randn([2, 4, 8, 8])
    a, b = (paddle.grad((F.relu(layer(F.relu(layer(image)))) ** 2).sum(), layer.weight)[0] for layer in (eager, fast))
    np.testing.assert_allclose(b.numpy(), a.numpy(), rtol=1e-4, atol=1e-5)


def test_the_last_smaller_batch_and_other_sizes_get_programs_of_their_own():
    eager, fast = twins(lambda: nn.Conv2D(4, 4, 3, padding=1))
    for shape in ([3, 4, 8, 8], [2, 4, 8, 8], [3, 4, 5, 8], [3, 4, 8, 8]):
        image = paddle.randn(shape)
        np.testing.assert_allclose(fast(image).numpy(), eager(image).numpy(), rtol=1e-4, atol=1e-5)


def test_pointwise_convolutions_stay_eager():
    network = build_network("MobileNetV3_small_x0_35", CLASSES)
    count = use_onednn(network)
    convolutions = [layer for layer in network.sublayers() if isinstance(layer, nn.Conv2D)]
    fast = [layer for layer in convolutions if type(layer) is not nn.Conv2D]
    assert count == len(fast) == 12 and len(convolutions) > 40      # the stem and eleven depthwise ones
    assert all(layer._kernel_size[0] > 1 for layer in fast)


def test_no_random_number_is_drawn():
    drawn = []
    for change in (use_onednn, lambda layer: None):
        onednn._check_paddle.cache_clear()
        layer = nn.Conv2D(3, 4, 3)
        paddle.seed(7)
        change(layer)
        drawn.append(paddle.randn([4]).numpy())
    assert np.array_equal(*drawn)


def test_evaluation_is_eager_to_the_bit():
    eager, fast = twins(lambda: build_network("SmallResNet", CLASSES))
    image = paddle.randn([4, 3, 16, 16])
    eager.eval(), fast.eval()
    assert np.array_equal(eager(image).numpy(), fast(image).numpy())


def test_training_mode_without_gradient_is_eager_to_the_bit():
    eager, fast = twins(lambda: build_network("SmallResNet", CLASSES))
    image = paddle.randn([4, 3, 16, 16])
    with paddle.no_grad():
        assert np.array_equal(eager(image).numpy(), fast(image).numpy())


def test_names_and_state_stay_so_checkpoints_fit_either_way():
    eager, fast = twins(lambda: build_network("SmallResNet", CLASSES))
    train(fast, 2, 16)
    assert list(eager.state_dict()) == list(fast.state_dict())
    eager.set_state_dict(fast.state_dict())
    assert difference(eager, fast) == 0


def test_going_on_from_a_copied_state_equals_going_on(tmp_path):
    _, straight = twins(lambda: build_network("SmallResNet", CLASSES))
    train(straight, 3, 16)
    resumed = build_network("SmallResNet", CLASSES)
    use_onednn(resumed)
    for tensor, value in zip(resumed.state_dict().values(), straight.state_dict().values()):
        tensor.set_value(value.numpy())
    assert train(straight, 3, 16) == train(resumed, 3, 16) and difference(straight, resumed) == 0


def test_a_frozen_part_stays_still_and_the_rest_learns_as_in_eager_mode():
    networks = twins(lambda: build_network("SmallResNet", CLASSES))
    for network in networks:
        frozen = Frozen(network, ["stage3", "classifier"])
        before = frozen.fingerprint()
        distiller = Distiller(network, FixedTeacher(paddle.ones([4, CLASSES])), [Term(JSDivLoss())], frozen)
        optimizer = Momentum(network=network, learning_rate=0.1)
        paddle.seed(5)
        for _ in range(3):
            distiller.train()
            distiller({"image": paddle.randn([4, 3, 16, 16])}).total.backward()
            optimizer.step()
            optimizer.clear_grad()
        assert frozen.fingerprint() == before
    assert difference(*networks) < 1e-4


def test_an_exported_network_answers_like_the_eager_one(tmp_path):
    eager, fast = twins(lambda: build_network("SmallResNet", CLASSES))
    train(fast, 1, 16)
    fast.eval()
    paddle.jit.save(fast, str(tmp_path / "net"), input_spec=[paddle.static.InputSpec([None, 3, 16, 16], "float32")])
    image = paddle.randn([2, 3, 16, 16])
    loaded = paddle.jit.load(str(tmp_path / "net"))
    np.testing.assert_allclose(loaded(image).numpy(), fast(image).numpy(), rtol=1e-5, atol=1e-6)


def test_the_classifier_is_found_as_before():
    eager, fast = twins(lambda: build_network("SmallResNet", CLASSES))
    assert WithFeatures(fast, (16, 16)).feature_dim == WithFeatures(eager, (16, 16)).feature_dim


def test_steps_that_are_abandoned_leave_no_scopes_behind():
    layer = nn.Conv2D(3, 4, 3)
    use_onednn(layer)
    image = paddle.randn([1, 3, 6, 7])
    for _ in range(4):
        layer(image)
    assert len(onednn._program(onednn._spec(layer, image))._scopes) <= 2


def test_a_network_of_pointwise_convolutions_is_refused():
    with pytest.raises(InputError, match="Sequential has none.*engine: eager"):
        use_onednn(nn.Sequential(nn.Conv2D(3, 4, 1), nn.Linear(4, 4)))


def test_another_device_is_refused(monkeypatch):
    onednn._check_paddle.cache_clear()
    monkeypatch.setattr(paddle, "get_device", lambda: "gpu:0")
    with pytest.raises(InputError, match="the device is gpu:0"):
        use_onednn(nn.Conv2D(3, 4, 3))


def test_a_paddle_without_this_way_is_refused_with_its_own_words(monkeypatch):
    def broken(spec):
        raise AttributeError("no run_program")
    onednn._check_paddle.cache_clear()
    monkeypatch.setattr(onednn, "_program", broken)
    with pytest.raises(InputError, match="does not work with this Paddle .*no run_program Use engine: eager"):
        use_onednn(nn.Conv2D(3, 4, 3))
    onednn._check_paddle.cache_clear()


def test_a_paddle_that_computes_something_else_is_refused(monkeypatch):
    onednn._check_paddle.cache_clear()
    monkeypatch.setattr(onednn, "_program", lambda spec: lambda image, weight: F.conv2d(image, weight, padding=1) * 1.01)
    with pytest.raises(InputError, match="gives other results than eager mode"):
        use_onednn(nn.Conv2D(3, 4, 3))
    onednn._check_paddle.cache_clear()


def test_onednn_kernels_really_run():
    code = """
        import paddle
        from paddle import nn
        from ssld.models.onednn import use_onednn
        layer = nn.Conv2D(8, 16, 3)
        use_onednn(layer)
        layer(paddle.ones([2, 8, 12, 12])).sum().backward()
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True,
                            env={**os.environ, "ONEDNN_VERBOSE": "1"})
    ran = [line for line in result.stdout.splitlines() if ",convolution," in line and "ic8" in line]
    assert {kind for kind in ("forward", "backward_weights") for line in ran if kind in line} == {"forward",
                                                                                               "backward_weights"}
