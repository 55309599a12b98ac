from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.export.inference import export_inference
from ssld.models.deit_conv_stem import DeiTConvStem
from ssld.models.tap import Taps
from ssld.models.zoo import build_network
from ssld.outputs import DISTILLATION_LOGITS, Outputs
from ssld.teachers.onednn import OneDNNProgram

SIZE = 32


def made(class_num=5, seed=0, **options):
    """A narrow one of 2 x 2 patches."""
    paddle.seed(seed)
    return DeiTConvStem(class_num, 24, 3, img_size=SIZE, **options)


def images(count=3, size=SIZE, seed=0):
    return paddle.to_tensor(np.random.default_rng(seed).standard_normal((count, 3, size, size)).astype(np.float32))


def evaluated(network):
    network.eval()
    return network


@pytest.mark.parametrize("name, count", [("DeiT_tiny_conv_stem", 6_633_104), ("DeiT_small_conv_stem", 23_797_520)])
def test_there_are_as_many_weights_as_published(name, count):
    """6.6 and 23.8 million with both heads."""
    network = evaluated(build_network(name, 1000))
    assert sum(parameter.size for parameter in network.parameters() if not parameter.stop_gradient) == count
    assert network.pos_embed.shape[1] == 198
    with paddle.no_grad():
        assert network(images(1, 224)).shape == [1, 1000]


def test_the_stem_has_the_convolutions_of_the_recipe():
    convolutions = [layer for layer in build_network("DeiT_tiny_conv_stem", 5).patch_embed.sublayers()
                    if isinstance(layer, paddle.nn.Conv2D)]
    assert [c.weight.shape for c in convolutions] == [[64, 3, 7, 7], [64, 64, 3, 3], [64, 64, 3, 3], [192, 64, 8, 8]]
    assert [c._stride for c in convolutions] == [[2, 2], [1, 1], [1, 1], [8, 8]]
    assert [c.bias is None for c in convolutions] == [True, True, True, False]
    with paddle.no_grad():
        assert evaluated(build_network("DeiT_tiny_conv_stem", 5)).patch_embed(images(1, 224)).shape == [1, 192, 14, 14]


def test_the_answer_is_the_mean_of_the_heads_of_the_class_token_and_of_the_mean_of_the_stems_tokens(oracle):
    network, vision = evaluated(made()), oracle("vision")
    with paddle.no_grad():
        tokens = network.patch_embed(images()).numpy().reshape(3, 24, 4).transpose(0, 2, 1)
        class_token = np.tile(network.cls_token.numpy(), (3, 1, 1))
        x = np.concatenate([class_token, tokens.mean(1, keepdims=True), tokens], 1) + network.pos_embed.numpy()
        for block in network.blocks:
            x = vision.block(x, block, 3)
        x = vision.norm(x, network.norm)
        expected = (vision.linear(x[:, 0], network.head) + vision.linear(x[:, 1], network.head_dist)) / 2
        np.testing.assert_allclose(network(images()).numpy(), expected, atol=1e-5)


def test_in_training_the_logits_of_both_heads_are_told_apart():
    network = made()
    seen = {}
    for name in ("head", "head_dist"):
        getattr(network, name).register_forward_post_hook(lambda layer, inputs, made, name=name: seen.update({name: made}))
    answer = network(images())
    assert isinstance(answer, Outputs) and set(answer.aux) == {DISTILLATION_LOGITS}
    np.testing.assert_array_equal(answer.logits.numpy(), seen["head"].numpy())
    np.testing.assert_array_equal(answer.aux[DISTILLATION_LOGITS].numpy(), seen["head_dist"].numpy())
    assert isinstance(evaluated(network)(images()), paddle.Tensor)


def test_the_norm_features_are_all_tokens_and_the_pooled_one_is_the_class_token():
    network = evaluated(made())
    taps = Taps(network, ["norm", "pool", "stage4"], (SIZE, SIZE))
    assert taps.shapes == {"norm": (6, 24), "pool": (24,), "stage4": (6, 24)}
    _, features = taps(images())
    np.testing.assert_array_equal(features["pool"].numpy(), features["norm"][:, 0].numpy())
    np.testing.assert_allclose(network.norm(features["stage4"]).numpy(), features["norm"].numpy(), atol=1e-6)


def test_every_weight_learns():
    network = made()
    answer = network(images(4))
    (answer.logits.square().mean() + answer.aux[DISTILLATION_LOGITS].square().mean()).backward()
    assert not [n for n, p in network.named_parameters() if not p.stop_gradient and not p.grad.abs().sum() > 0]


def test_stochastic_depth_acts_in_training_only_and_not_on_the_first_block():
    network = made(drop_path_rate=0.5)
    assert [round(block.drop_path * 22, 6) for block in network.blocks] == list(range(12))
    paddle.seed(1)
    first = network(images(8)).logits.numpy()
    paddle.seed(2)
    assert np.abs(first - network(images(8)).logits.numpy()).max() > 1e-4
    evaluated(network)
    np.testing.assert_array_equal(network(images()).numpy(), network(images()).numpy())


def test_the_seed_decides_the_weights():
    first, again, other = (evaluated(made(seed=seed))(images()).numpy() for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_onednn_runs_it_as_an_exported_program_for_any_batch(tmp_path):
    network = evaluated(made())
    assert export_inference(network, tmp_path, (SIZE, SIZE)) < 1e-4
    program = OneDNNProgram(tmp_path / "inference")
    for count in (1, 3):
        expected = network(images(count)).numpy()
        np.testing.assert_allclose(program(images(count).numpy()), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("options, message", [({"img_size": 40}, "img_size must be a multiple of 16, not 40"),
                                              ({"img_size": 0}, "img_size must be a whole number of at least 1"),
                                              ({"drop_path_rate": 1.0}, r"drop_path_rate must lie in \[0, 1\)"),
                                              ({"imgsize": 32}, "has no option 'imgsize'. Did you mean 'img_size'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_network("DeiT_tiny_conv_stem", 5, **options)


def test_images_of_another_size_are_refused():
    with pytest.raises(InputError, match="takes images of 32 x 32 pixels, found 64 x 64. Set its img_size, or change"):
        made()(images(1, 64))
