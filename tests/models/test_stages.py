from __future__ import annotations

import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models import stages
from ssld.models.stages import stages_of, starts_with
from ssld.models.tap import Taps
from ssld.models.zoo import build_network

slow = pytest.mark.slow

# backbone, family, groups, what lies behind the groups besides the classifier
NETWORKS = [
    ("SmallResNet", "SmallResNet", 4, set()),
    ("FBNetC", "FBNet", 5, {"head"}),
    ("EfficientNetV2_B0", "EfficientNetV2", 5, {"head"}),
    ("SReT_LT", "SReT", 4, {"norm"}),
    ("DeiT_tiny_conv_stem", "DeiT", 5, {"norm", "head_dist"}),
    ("DeiT_tiny_patch16_224", "ViT", 5, {"norm"}),
    ("ViT_S_16", "ViT", 5, {"norm"}),
    ("Mixer_S_16", "Mixer", 5, {"norm"}),
    ("SmallSwin", "Swin", 5, {"norm"}),
    pytest.param("ConvNeXt_tiny", "ConvNeXt", 5, {"norm"}, marks=slow),
    pytest.param("ViT_B_14", "ViT", 5, {"norm"}, marks=slow),
    pytest.param("Mixer_B_16", "Mixer", 5, {"norm"}, marks=slow),
    pytest.param("SwinTransformer_tiny_patch4_window7_224", "Swin", 5, {"norm"}, marks=slow),
    pytest.param("RegNetY_16GF", "RegNetY", 5, set(), marks=slow),
    ("ResNet18", "ResNet", 5, set()),
    ("ResNet18_vd", "ResNet", 5, set()),
    pytest.param("ResNet50_vd", "ResNet", 5, set(), marks=slow),
    ("MobileNetV3_large_x0_35", "MobileNetV3", 5, {"last_second_conv", "last_conv"}),
    ("MobileNetV3_small_x0_35", "MobileNetV3", 5, {"last_second_conv", "last_conv"}),
    ("MobileNetV1_x0_25", "MobileNetV1", 6, set()),
    ("MobileNetV2_x0_25", "MobileNetV2", 5, {"conv9"}),
    ("PPLCNet_x0_25", "PPLCNet", 6, {"last_conv"}),
    ("PPHGNetV2_B0", "PPHGNetV2", 5, {"last_conv", "lab"}),
    ("ShuffleNetV2_x0_25", "ShuffleNetV2", 4, {"_last_conv"}),
    pytest.param("Res2Net50_vd_26w_4s", "Res2Net_vd", 5, set(), marks=slow),
    pytest.param("ResNeXt101_32x8d_wsl", "ResNeXt101_wsl", 5, set(), marks=slow),
]


@pytest.mark.parametrize("name, family, count, head", NETWORKS)
def test_every_parameter_is_in_one_group_or_behind_the_stages(name, family, count, head):
    network = build_network(name, 3)
    parts = stages_of(network)
    assert (parts.family, len(parts.groups)) == (family, count)
    parameters = [parameter for parameter, _ in network.named_parameters()]
    groups = [{p for p in parameters if any(starts_with(p, prefix) for prefix in prefixes)} for prefixes in parts.groups]
    assert sum(map(len, groups)) == len(set().union(*groups))                       # disjoint
    rest = set(parameters) - set().union(*groups)
    assert {p.split(".")[0] for p in rest} == head | {parts.classifier}             # nothing else is left
    assert all(parts.group_of(p) == place for place, group in enumerate(groups) for p in group)
    assert all(parts.group_of(p) is None for p in rest)
    # small MobileNetV3 has eleven blocks, three per value, so its fifth value has no block
    assert [place for place, group in enumerate(groups) if not group] == ([4] if "V3_small" in name else [])


@pytest.mark.parametrize("name, family, count, head", NETWORKS)
def test_the_classifier_is_the_last_linear_layer(name, family, count, head):
    network = build_network(name, 3)
    layers = dict(network.named_sublayers())
    classifier = stages_of(network).classifier
    assert isinstance(layers[classifier], nn.Linear) and layers[classifier].weight.shape[1] == 3
    assert [layer for layer, value in layers.items() if isinstance(value, nn.Linear)][-1] == classifier


@pytest.mark.parametrize("name, family, count, head", NETWORKS)
def test_groups_follow_each_other_from_the_input_on(name, family, count, head):
    network = build_network(name, 3)
    parts = stages_of(network)
    places = [parts.group_of(parameter) for parameter, _ in network.named_parameters()]
    places = [place for place in places if place is not None]
    if family == "ConvNeXt":                        # what halves its maps stands in a list of its own, before the stages
        halvings = places[:sum(parameter.startswith("downsample") for parameter, _ in network.named_parameters())]
        assert halvings == sorted(halvings)
        places = places[len(halvings):]
    assert places == sorted(places)


def test_resnet_is_cut_where_its_depths_say():
    parts = stages_of(build_network("ResNet18_vd", 3))
    assert parts.groups == (("stem",), ("blocks.0", "blocks.1"), ("blocks.2", "blocks.3"), ("blocks.4", "blocks.5"),
                            ("blocks.6", "blocks.7"))


def test_mobilenet_v3_large_has_three_blocks_per_group_and_the_stem_in_the_first():
    parts = stages_of(build_network("MobileNetV3_large_x0_35", 3))
    assert parts.groups[0] == ("conv", "blocks.0", "blocks.1", "blocks.2")
    assert parts.groups[4] == ("blocks.12", "blocks.13", "blocks.14")


# the taps of the published pairs: backbone, image side, penultimate feature, final feature; tokens are [N, C]
SMALL_TAPS = [
    ("MobileNetV1", 224, ("blocks.10", (512, 14, 14)), ("blocks.12", (1024, 7, 7))),
    ("ResNet18", 224, ("blocks.5", (256, 14, 14)), ("blocks.7", (512, 7, 7))),
    ("Mixer_S_16", 224, ("blocks.5", (196, 512)), ("blocks.7", (196, 512))),
    ("ViT_S_16", 224, ("blocks.8", (196, 384)), ("norm", (196, 384))),
    ("DeiT_small_patch16_224", 224, ("blocks.8", (197, 384)), ("norm", (197, 384))),
    ("SmallSwin", 64, ("layers.2.blocks.1", (64, 128)), ("norm", (16, 256))),
    ("SmallResNet", 32, ("stage2", (32, 16, 16)), ("stage3", (64, 8, 8))),
]
LARGE_TAPS = [
    ("ResNet50", 224, ("blocks.12", (1024, 14, 14)), ("blocks.15", (2048, 7, 7))),
    ("ResNet50_vd", 224, ("blocks.12", (1024, 14, 14)), ("blocks.15", (2048, 7, 7))),
    ("ConvNeXt_tiny", 224, ("stages.2", (384, 14, 14)), ("stages.3", (768, 7, 7))),
    ("SwinTransformer_tiny_patch4_window7_224", 224, ("layers.2.blocks.5", (196, 384)), ("norm", (49, 768))),
    ("SwinTransformer_small_patch4_window7_224", 224, ("layers.2.blocks.17", (196, 384)), ("norm", (49, 768))),
    ("SwinTransformer_base_patch4_window7_224", 224, ("layers.2.blocks.17", (196, 512)), ("norm", (49, 1024))),
    ("SwinTransformer_large_patch4_window7_224", 224, ("layers.2.blocks.17", (196, 768)), ("norm", (49, 1536))),
    ("Mixer_B_16", 224, ("blocks.9", (196, 768)), ("blocks.11", (196, 768))),
    ("Mixer_B_14", 224, ("blocks.9", (256, 768)), ("blocks.11", (256, 768))),
    ("ViT_B_16", 224, ("blocks.8", (196, 768)), ("norm", (196, 768))),
    ("ViT_B_14", 224, ("blocks.8", (256, 768)), ("norm", (256, 768))),
    ("DeiT_base_patch16_224", 224, ("blocks.8", (197, 768)), ("norm", (197, 768))),
    ("BEiT_large_patch14", 224, ("blocks.17", (257, 1024)), ("blocks.23", (257, 1024))),
]


@pytest.mark.parametrize("name, side, penultimate, final",
                         [*SMALL_TAPS, *(pytest.param(*values, marks=slow) for values in LARGE_TAPS)])
def test_the_last_two_features_are_where_scalekd_takes_them(name, side, penultimate, final):
    network = build_network(name, 3)
    ends = stages_of(network).ends
    assert list(ends.items()) == [("penultimate", penultimate[0]), ("final", final[0])]
    assert Taps(network, list(ends.values()), (side, side)).shapes == dict((penultimate, final))
    assert Taps(network, list(ends), (side, side)).shapes == {"penultimate": penultimate[1], "final": final[1]}


def test_a_layer_that_answers_with_a_tuple_is_no_feature():
    with pytest.raises(InputError, match="SwinTransformer gives no tensor at 'layers.2'. Choose another feature"):
        Taps(build_network("SmallSwin", 3), ["layers.2"], (64, 64))


def test_the_last_stage_of_a_mixer_has_two_blocks_and_begins_where_that_of_a_vit_does_not():
    assert stages_of(build_network("Mixer_S_16", 3)).groups[1:] == (
        ("blocks.0", "blocks.1"), ("blocks.2", "blocks.3"), ("blocks.4", "blocks.5"), ("blocks.6", "blocks.7"))


def test_merging_in_swin_belongs_to_the_stage_behind_it():
    parts = stages_of(build_network("SmallSwin", 3))
    assert parts.groups[2] == ("layers.0.downsample", "layers.1.blocks.0", "layers.1.blocks.1") and parts.stride == 16


def test_a_prefix_ends_at_a_dot():
    assert starts_with("blocks.1.conv", "blocks.1") and starts_with("fc", "fc")
    assert not starts_with("blocks.10.conv", "blocks.1") and not starts_with("fc2.weight", "fc")


def test_an_unknown_backbone_is_refused_with_its_prefixes():
    with pytest.raises(InputError, match=r"the stages of AlexNetDY are not known. Its parameters begin with: .*_conv1.*"
                                         r"Add a row for 'alexnet\.AlexNetDY'"):
        stages_of(build_network("AlexNet", 3))


def test_every_row_is_tested_here():
    tested = {type(build_network(name, 2)).__module__.rsplit(".", 1)[-1] for name in
              ("SmallResNet", "ResNet18", "MobileNetV3_small_x0_35", "MobileNetV1_x0_25", "MobileNetV2_x0_25",
               "PPLCNet_x0_25", "PPHGNetV2_B0", "ShuffleNetV2_x0_25", "FBNetC", "EfficientNetV2_B0",
               "SReT_LT", "DeiT_tiny_conv_stem", "DeiT_tiny_patch16_224", "ViT_S_16", "Mixer_S_16", "SmallSwin")}
    tested |= {"res2net_vd", "resnext101_wsl", "regnet_y", "beit", "convnext", "distilled_vision_transformer"}
    assert {key.split(".")[0] for key in stages._ROWS} == tested
