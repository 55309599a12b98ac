from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models.zoo import build_network

# what the shift does to the answers, and that they are those of the definition: tests/import_weights/test_mapping.py

NAME = "SmallSwin"
EARLY = [[0, 2], [0, 2], [0, 2]]


def small(**options):
    return build_network(NAME, 4, **{"width": 8, "heads": [1, 1, 2, 2], **options})


def shifts(network) -> list[list[int]]:
    """The shift of each block, stage by stage."""
    return [[block.shift_size for block in stage.blocks] for stage in network.layers]


def test_windows_stand_still_where_one_covers_the_map():
    assert shifts(small()) == [*EARLY, [0, 0]]
    assert shifts(small(last_stage_shift="on")) == shifts(small(last_stage_shift=True)) == [*EARLY, [0, 2]]
    assert shifts(small(img_size=128)) == [*EARLY, [0, 2]]
    assert shifts(small(img_size=128, last_stage_shift=False)) == [*EARLY, [0, 0]]


def test_the_size_of_the_images_decides_not_the_one_that_it_was_built_for():
    network, built_larger = small(), small(img_size=128)
    built_larger.set_state_dict(network.state_dict())
    for side, last in ((64, [0, 0]), (128, [0, 2]), (64, [0, 0])):
        image = paddle.to_tensor(np.random.default_rng(side).normal(size=(1, 3, side, side)).astype(np.float32))
        answers = []
        for each in (network, built_larger):
            each.eval()
            answers.append(each(image).numpy())
            assert shifts(each) == [*EARLY, last]
        np.testing.assert_array_equal(*answers)


def depths(network) -> list[float]:
    """Stochastic depth of each block."""
    return [getattr(block.drop_path, "drop_prob", 0.0) for stage in network.layers for block in stage.blocks]


def test_stochastic_depth_rises_from_block_to_block_to_what_is_asked_for():
    np.testing.assert_allclose(depths(small(drop_path_rate=0.7)), np.linspace(0, 0.7, 8))
    np.testing.assert_allclose(depths(small(drop_path=0.7)), np.linspace(0, 0.7, 8))
    assert not any(depths(small()))
    with pytest.raises(InputError, match="drop_path_rate"):
        small(drop_path_rate=1.0)


@pytest.mark.slow
def test_a_published_network_takes_another_stochastic_depth_than_its_own():
    name = "SwinTransformer_tiny_patch4_window7_224"
    with paddle.LazyGuard():
        for options, expected in (({}, 0.2), ({"drop_path": 0.05}, 0.05), ({"drop_path": 0.0}, 0.0)):
            np.testing.assert_allclose(depths(build_network(name, 4, **options)), np.linspace(0, expected, 12))


@pytest.mark.slow
def test_paddleclas_swin_of_full_size_has_the_option():
    assert shifts(build_network("SwinTransformer_tiny_patch4_window7_224", 4)) == [[0, 3], [0, 3], [0, 3, 0, 3, 0, 3], [0, 0]]


def test_a_small_swin_has_the_parts_of_a_large_one():
    network = build_network(NAME, 10)
    network.eval()
    assert sum(int(parameter.size) for parameter in network.parameters() if not parameter.stop_gradient) == 2_280_296
    merged = network.layers[2].downsample(paddle.zeros([2, 64, 128]), (8, 8))
    last, grid = network.layers[3](merged, (4, 4))
    assert network.norm(last).shape == [2, 16, 256] and grid == (4, 4) and network.head.weight.shape == [256, 10]


@pytest.mark.parametrize("options", [{"img_size": 32, "patch": 1}, {"img_size": 32, "patch": 2, "window": 2},
                                     {"img_size": 64, "patch": 4, "depths": [2, 2, 2], "heads": [1, 2, 4]}])
def test_it_can_be_made_for_other_pictures(options):
    network = build_network(NAME, 3, width=8, **{"heads": [1, 1, 2, 2], **options})
    assert network(paddle.zeros([2, 3, options["img_size"], options["img_size"]])).shape == [2, 3]


@pytest.mark.parametrize("options, message", [
    ({"img_size": 32}, "images of 32 pixels make a map of 2 positions a side in stage 4, which windows of 4 do not fill"),
    ({"img_size": 72}, "map of 18 positions a side in stage 2, which windows of 4"),
    ({"heads": [1, 2, 4, 3]}, "stage 4 is 64 wide, which 3 heads do not divide"),
    ({"heads": [1, 2]}, r"heads must be a list with a value for each stage, not \[1, 2\]"),
    ({"depths": 2}, "depths must be a list with a value for each stage, not 2"),
    ({"drop_path_rate": 1}, r"drop_path_rate must lie in \[0, 1\)"), ({"windows": 4}, "Did you mean 'window'"),
    ({"last_stage_shift": "maybe"}, "last_stage_shift cannot be 'maybe'")])
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        small(**options)


def test_other_networks_have_no_such_option():
    with pytest.raises(InputError, match="has no option 'last_stage_shift'"):
        build_network("ResNet18", 4, last_stage_shift="on")
