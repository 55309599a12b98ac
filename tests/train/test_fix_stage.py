"""The Fix stage is refused unless it can do what it is for."""
import pytest

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
