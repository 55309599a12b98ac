"""Names of PaddleDetection 2.6, as its own models have them; test_paddledetection.py asks the package itself."""
from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.export.detection_names import detection_names

# as many as PaddleDetection's backbones have
COUNTS = {"ResNet18": 105, "ResNet34": 185, "ResNet50": 265, "ResNet101": 520, "ResNet18_vd": 115, "ResNet34_vd": 195,
          "ResNet50_vd": 275, "ResNet101_vd": 530, "MobileNetV3_large_x1_0": 262, "MobileNetV3_small_x1_0": 206,
          "MobileNetV3_large_x0_35": 262, "MobileNetV3_small_x1_25": 206}


@pytest.mark.parametrize("name", COUNTS)
def test_there_are_as_many_names_as_the_detector_has_and_no_two_are_alike(name):
    mapping = detection_names(name).mapping
    assert len(mapping) == len(set(mapping.values())) == COUNTS[name]


@pytest.mark.parametrize("name", ["ResNet18_vd", "ResNet34", "ResNet50", "MobileNetV3_small_x0_35", "MobileNetV3_large_x0_5"])
def test_every_tensor_of_the_network_has_a_name_or_is_dropped(name, network_of):
    state = network_of(name, 3).state_dict()
    renamed, dropped = detection_names(name).rename(state)
    assert len(renamed) + len(dropped) == len(state) and len(renamed) == len(detection_names(name).mapping)
    head = {"last_second_conv", "last_conv", "fc"} if name.startswith("Mobile") else {"fc"}
    assert {key.split(".")[0] for key in dropped} == head


@pytest.mark.parametrize("name, here, there", [
    ("ResNet50_vd", "stem.2.conv.weight", "conv1.conv1_3.conv.weight"),
    ("ResNet50_vd", "stem.0.bn._mean", "conv1.conv1_1.norm._mean"),
    ("ResNet50", "stem.0.bn.bias", "conv1.conv1.norm.bias"),
    ("ResNet50_vd", "blocks.0.short.bn.weight", "res2.res2a.short.norm.weight"),
    ("ResNet50_vd", "blocks.3.short.conv.weight", "res3.res3a.short.conv.conv.weight"),
    ("ResNet50", "blocks.3.short.conv.weight", "res3.res3a.short.conv.weight"),
    ("ResNet50_vd", "blocks.6.conv1.conv.weight", "res3.res3d.branch2b.conv.weight"),
    ("ResNet50_vd", "blocks.12.conv2.bn._variance", "res4.res4f.branch2c.norm._variance"),
    ("ResNet101_vd", "blocks.7.conv0.conv.weight", "res4.res4a.branch2a.conv.weight"),
    ("ResNet101_vd", "blocks.8.conv0.conv.weight", "res4.res4b1.branch2a.conv.weight"),
    ("ResNet101", "blocks.29.conv2.conv.weight", "res4.res4b22.branch2c.conv.weight"),
    ("ResNet101", "blocks.30.short.bn.bias", "res5.res5a.short.norm.bias"),
    ("ResNet34_vd", "blocks.15.conv1.conv.weight", "res5.res5c.branch2b.conv.weight"),
    ("MobileNetV3_large_x1_0", "conv.bn._mean", "conv1.bn._mean"),
    ("MobileNetV3_large_x1_0", "blocks.14.mid_se.conv2.bias", "conv16.mid_se.conv2.bias"),
    ("MobileNetV3_small_x1_0", "blocks.0.expand_conv.conv.weight", "conv2.expand_conv.conv.weight")])
def test_names_are_those_of_the_table(name, here, there):
    assert detection_names(name).mapping[here] == there


@pytest.mark.parametrize("lost, message", [
    ("blocks.3.short.bn._mean", r"missing \(1\): res3.res3a.short.norm._mean \(blocks.3.short.bn._mean\)"),
    ("stem.0.conv.weight", r"missing \(1\): conv1.conv1.conv.weight \(stem.0.conv.weight\)")])
def test_a_tensor_that_the_detector_has_and_the_student_lacks_is_named(lost, message):
    state = {name: 0 for name in detection_names("ResNet50").mapping if name != lost}
    with pytest.raises(InputError, match=message):
        detection_names("ResNet50").rename(state)


def test_a_tensor_that_has_no_name_there_is_named(network_of):
    with pytest.raises(InputError, match=r"missing \(20\): .*\n  without a name there \(10\): stem.1.conv.weight"):
        names = list(detection_names("ResNet50_vd").mapping)[:-20]
        detection_names("ResNet50").rename({**dict.fromkeys(names), "fc.weight": 0})


@pytest.mark.parametrize("name", ["SmallResNet", "MobileNetV1", "ResNet152_vd", "ResNet50_vc", "SE_ResNet50_vd", "ResNet200_vd",
                                  "MobileNetV3_large", "ResNet50_last_stage_stride1"])
def test_a_backbone_without_names_is_refused_and_the_others_are_listed(name):
    with pytest.raises(InputError, match=f"names of {name} are not known.*ResNet18, 34, 50 and 101, plain and _vd"):
        detection_names(name)
