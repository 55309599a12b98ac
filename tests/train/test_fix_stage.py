"""The Fix stage is refused unless it can do what it is for."""
import pytest
from paddle import nn

from ssld.errors import InputError
from ssld.models.freeze import Frozen
from ssld.models.small_resnet import SmallResNet
from ssld.models.zoo import build_network
from ssld.train.fix_stage import check_fix_stage

PREPROCESSING = ["DecodeImage", {"ResizeImage": {"resize_short": 32}}, {"CropImage": {"size": 32}}, "ToCHWImage"]
RANDOM = ["DecodeImage", {"RandCropImage": {"size": 32}}, "ToCHWImage"]


def classifier_only():
    network = SmallResNet(3, width=4)
    return network, Frozen(network, ["classifier"])


def test_the_same_preprocessing_and_the_classifier_alone_are_accepted():
    check_fix_stage(*classifier_only(), PREPROCESSING, list(PREPROCESSING), (32, 32))


def test_more_than_the_classifier_is_refused():
    network = SmallResNet(3, width=4)
    for frozen in (None, Frozen(network, ["fc", "stage3"])):
        with pytest.raises(InputError, match=r"trainable: \[classifier\]"):
            check_fix_stage(network, frozen, PREPROCESSING, PREPROCESSING, (32, 32))


def test_other_preprocessing_than_the_evaluations_is_refused_and_both_lists_are_shown():
    with pytest.raises(InputError, match="RandCropImage") as error:
        check_fix_stage(*classifier_only(), RANDOM, PREPROCESSING, (32, 32))
    assert "CropImage" in str(error.value).split("evaluation has")[1]


def test_random_preprocessing_in_both_is_refused():
    with pytest.raises(InputError, match="without random"):
        check_fix_stage(*classifier_only(), RANDOM, RANDOM, (32, 32))


def test_a_size_off_the_stride_is_refused():
    with pytest.raises(InputError, match="30 x 32 pixels are no multiple of the stride 4"):
        check_fix_stage(*classifier_only(), PREPROCESSING, PREPROCESSING, (32, 30))


def test_a_network_of_fixed_input_size_is_refused():
    network = build_network("SmallResNet", 3, width=4)
    network.pos_embed = network.create_parameter([1, 4])
    with pytest.raises(InputError, match="pos_embed"):
        check_fix_stage(network, Frozen(network, ["fc"]), PREPROCESSING, PREPROCESSING, (32, 32))


def test_a_classifier_that_is_not_one_linear_layer_is_refused():
    network = SmallResNet(3, width=4)
    network.fc = nn.Sequential(network.fc, nn.Dropout())
    with pytest.raises(InputError, match="'fc' of SmallResNet is not a linear layer"):
        check_fix_stage(network, Frozen(network, ["classifier"]), PREPROCESSING, PREPROCESSING, (32, 32))


def test_a_classifier_that_does_not_come_last_is_refused():
    network, frozen = classifier_only()
    network.register_forward_post_hook(lambda layer, inputs, logits: 2 * logits)
    with pytest.raises(InputError, match="whose output is the network's answer"):
        check_fix_stage(network, frozen, PREPROCESSING, PREPROCESSING, (32, 32))


def test_the_checks_leave_the_frozen_part_as_it_is_to_the_bit():
    network, frozen = classifier_only()
    before = frozen.fingerprint()
    check_fix_stage(network, frozen, PREPROCESSING, PREPROCESSING, (32, 32))
    assert frozen.fingerprint() == before


def test_a_backbone_without_a_row_is_refused_with_what_a_row_would_need():
    network = nn.Sequential(nn.Conv2D(3, 4, 3), nn.AdaptiveAvgPool2D(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(InputError, match="the stages of Sequential are not known.*Add a row"):
        check_fix_stage(network, None, PREPROCESSING, PREPROCESSING, (32, 32))
