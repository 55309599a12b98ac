from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.beit import BEiT, relative_positions
from ssld.models.maps import as_tokens
from ssld.models.tail import tail_of
from ssld.models.tap import Taps
from ssld.models.vit import ViT
from ssld.models.zoo import build_network
from ssld.teachers.eager import freeze

SWIN = {"img_size": 16, "patch": 1, "width": 8, "window": 2, "heads": [1, 2, 2, 4]}


def swin(**options):
    return build_network("SmallSwin", 3, **{**SWIN, **options})


def beit(positions="relative"):
    return BEiT(3, 16, 4, 2, 24, 8, positions)


def vit(pool="gap"):
    return ViT(3, 64, 8, 24, pool, depth=4)


def paddleclas_vit():
    return build_network("DeiT_tiny_patch16_224", 3, img_size=48)


NETWORKS = {"Swin": (swin, 16), "BEiT": (beit, 24), "EVA": (lambda: beit("absolute"), 24), "ViT": (vit, 24),
            "DeiT": (paddleclas_vit, 48)}
every_network = pytest.mark.parametrize("make, side", NETWORKS.values(), ids=NETWORKS)


def frozen(make, dtype="float64"):
    """Frozen, with weights far from their initial values, so that norms, biases and scales count."""
    paddle.seed(1)
    paddle.set_default_dtype(dtype)
    try:
        network = make()
        for parameter in network.parameters():
            parameter.set_value(parameter + 0.3 * paddle.randn(parameter.shape))
    finally:
        paddle.set_default_dtype("float32")
    return freeze(network)


def features_of(network, names, side, count=2):
    image = paddle.randn([count, 3, side, side], next(iter(network.parameters())).dtype)
    with paddle.no_grad():
        taps = Taps.__new__(Taps)
        taps.network, taps.names, taps._seen = network, tuple(names), {}
        for name in names:
            taps._tap(name, (side, side))
        return taps(image)[1]


@pytest.mark.parametrize("make, side", [(swin, 16), (lambda: swin(img_size=32), 32), (lambda: swin(depths=[1, 2, 1, 3]), 16),
                                        (vit, 24)])
def test_the_tail_of_the_feature_before_it_is_the_last_feature(make, side):
    network = frozen(make)
    tail = tail_of(network, (side, side))
    seen = features_of(network, [tail.tap_in, tail.tap], side)
    assert tuple(seen[tail.tap_in].shape[1:]) == (np.prod(tail.grid_in), tail.dim_in)
    assert tuple(seen[tail.tap].shape[1:]) == (np.prod(tail.grid_out), tail.dim_out)
    np.testing.assert_allclose(tail(seen[tail.tap_in]).numpy(), seen[tail.tap].numpy(), atol=1e-10)


@every_network
def test_features_lie_on_the_grids_that_the_tail_states(make, side):
    network = frozen(make, "float32")
    tail = tail_of(network, (side, side))
    for tap, grid, dim in ((tail.tap_in, tail.grid_in, tail.dim_in), (tail.tap, tail.grid_out, tail.dim_out)):
        seen = features_of(network, [tap], side)[tap]
        assert seen.shape[1] - np.prod(grid) in (0, 1) and seen.shape[2] == dim
    assert tail(paddle.randn([2, int(np.prod(tail.grid_in)), tail.dim_in])).shape == [2, np.prod(tail.grid_out), tail.dim_out]


@every_network
def test_gradients_through_the_tail_are_those_of_finite_differences(make, side):
    """The norms of the tail are frozen: in Paddle 3.3.1 the plain ones would pass another gradient on."""
    tail = tail_of(frozen(make), (side, side))
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (1, int(np.prod(tail.grid_in)), tail.dim_in))
    factor = paddle.to_tensor(rng.normal(0, 1, (1, int(np.prod(tail.grid_out)), tail.dim_out)))
    tokens = paddle.to_tensor(x, stop_gradient=False)
    (tail(tokens) * factor).sum().backward()
    slope = tokens.grad.numpy()
    for _ in range(20):                                     # derivatives along random directions
        direction = rng.normal(0, 1, x.shape)
        ends = [float((tail(paddle.to_tensor(x + step * direction)) * factor).sum()) for step in (1e-6, -1e-6)]
        assert (slope * direction).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5,
                                                          abs=1e-6 * np.linalg.norm(slope))


def test_no_gradient_is_kept_for_the_weights_and_they_stay_what_they_are():
    network = frozen(swin)
    before = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    tokens = paddle.randn([2, 16, 32], "float64")
    tokens.stop_gradient = False
    tail_of(network, (16, 16))(tokens).sum().backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all((before[name] == tensor.numpy()).all() for name, tensor in network.state_dict().items())


def test_the_tail_does_not_pass_for_the_teachers_own_feature():
    """The taps of the network see its own passes only."""
    network = frozen(swin, "float32")
    tail = tail_of(network, (16, 16))
    taps = Taps(network, [tail.tap], (16, 16))
    tail(paddle.randn([2, 16, 32]))
    assert not taps._seen


def test_windows_of_the_last_stage_stand_still_and_with_the_shift_the_tail_follows_the_network():
    """Where a window covers the map the definition does not shift it; weights of PaddleClas may want the shift."""
    both = []
    for shift in ("auto", "on"):
        network = frozen(lambda shift=shift: swin(last_stage_shift=shift))
        assert [block.shift_size for block in network.layers[-1].blocks] == [0, 0 if shift == "auto" else 1]
        tail = tail_of(network, (16, 16))
        seen = features_of(network, [tail.tap_in, tail.tap], 16)
        np.testing.assert_allclose(tail(seen[tail.tap_in]).numpy(), seen[tail.tap].numpy(), atol=1e-10)
        both.append(tail(paddle.to_tensor(np.random.default_rng(0).normal(0, 1, (1, 16, 32)))).numpy())
    assert np.abs(both[0] - both[1]).max() > 1e-3


def test_the_blocks_of_beit_take_patches_with_the_bias_of_patches():
    network = frozen(beit)
    attention = network.blocks[-1].attn
    x = np.random.default_rng(0).normal(0, 1, (2, 9, 16))
    w = {name: value.numpy() for name, value in attention.named_parameters()}
    q, k, v = np.split(x @ w["qkv.weight"] + np.concatenate([w["q_bias"], 0 * w["q_bias"], w["v_bias"]]), 3, -1)
    bias = w["relative_position_bias_table"][relative_positions(3)[1:, 1:]]
    read = []
    for head in range(2):
        part = slice(8 * head, 8 * head + 8)
        likeness = np.exp(q[..., part] @ k[..., part].transpose(0, 2, 1) * 8 ** -0.5 + bias[..., head])
        read.append(likeness / likeness.sum(-1, keepdims=True) @ v[..., part])
    expected = np.concatenate(read, -1) @ w["proj.weight"] + w["proj.bias"]
    np.testing.assert_allclose(attention(paddle.to_tensor(x)).numpy(), expected, atol=1e-10)


@pytest.mark.parametrize("blocks, taps", [(1, ("blocks.2", "norm")), (2, ("blocks.1", "norm")), (3, ("blocks.0", "norm"))])
def test_the_length_of_a_tail_without_stages_is_an_option(blocks, taps):
    network = frozen(vit)
    tail = tail_of(network, (24, 24), blocks)
    assert (tail.tap_in, tail.tap) == taps
    seen = features_of(network, taps, 24)
    np.testing.assert_allclose(tail(seen[tail.tap_in]).numpy(), seen["norm"].numpy(), atol=1e-10)


def test_a_class_token_is_no_part_of_the_tail():
    network = frozen(lambda: vit("cls"))
    tail = tail_of(network, (24, 24))
    seen = features_of(network, [tail.tap_in], 24)[tail.tap_in]
    assert seen.shape[1] == 10 and tail(as_tokens(seen, tail.grid_in)).shape == [2, 9, 64]


@pytest.mark.parametrize("width, heads, expected", [(192, [6, 12, 24, 48], 3.02e9), (128, [4, 8, 16, 32], 1.35e9),
                                                    (96, [3, 6, 12, 24], 0.76e9)], ids=["large", "base", "small"])
def test_the_stated_multiply_adds_of_swin_are_the_published_ones(width, heads, expected):
    with paddle.LazyGuard():                    # nothing is drawn
        network = build_network("SmallSwin", 3, img_size=224, patch=4, width=width, window=7, heads=heads, depths=[1, 1, 1, 2])
    tail = tail_of(network, (224, 224))
    assert tail.multiply_adds == pytest.approx(expected, rel=0.01)
    assert (tail.dim_in, tail.dim_out, tail.grid_in, tail.grid_out) == (4 * width, 8 * width, (14, 14), (7, 7))


@pytest.mark.parametrize("name, options, message", [
    ("ResNet18", {}, r"which layers of ResNet come last is not known; known networks: .*SwinTransformer.*tpp: false"),
    ("ViT_S_16", {"img_size": 32}, "tpp_blocks must be less than the 12 blocks of ViT, not 12")])
def test_other_networks_and_too_long_tails_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        tail_of(build_network(name, 3, **options), (32, 32), 12)
