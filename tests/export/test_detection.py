"""The pair for PaddleDetection: renamed weights, and the YAML beside them."""
from __future__ import annotations

import numpy as np
import pytest
import yaml

from ssld.errors import InputError
from ssld.export.detection import fragment, write_detection
from ssld.export.detection_names import detection_names
from ssld.models.weights import read_state


def test_the_weights_are_the_students_under_other_names(network_of, tmp_path):
    network = network_of("ResNet18_vd", 3)
    written = write_detection(network, {"name": "ResNet18_vd", "class_num": 3}, tmp_path, tmp_path)
    state, found = network.state_dict(), read_state(tmp_path / "student_det.pdparams")
    assert written == {"student_det.pdparams": {"tensors": 115, "dropped": ["fc.weight", "fc.bias"]}} and len(found) == 115
    for here, there in detection_names("ResNet18_vd").mapping.items():
        np.testing.assert_array_equal(found[there], state[here].numpy(), err_msg=there)


def test_the_yaml_of_a_resnet_has_four_of_the_five_published_values(tmp_path):
    text = fragment(detection_names("ResNet50_vd"), "ResNet50_vd", tmp_path / "student_det.pdparams")
    assert yaml.safe_load(text) == {
        "pretrain_weights": str(tmp_path / "student_det.pdparams"),
        "ResNet": {"depth": 50, "variant": "d", "norm_type": "bn", "freeze_at": 0, "return_idx": [0, 1, 2, 3], "num_stages": 4,
                   "lr_mult_list": [0.05, 0.05, 0.1, 0.15]},
        "OptimizerBuilder": {"optimizer": {"momentum": 0.9, "type": "Momentum"}, "regularizer": {"factor": 1e-4, "type": "L2"}}}
    assert yaml.safe_load(fragment(detection_names("ResNet101"), "ResNet101", tmp_path))["ResNet"]["variant"] == "b"


def test_the_yaml_of_a_mobilenet_has_five_values_and_its_own_decay(tmp_path):
    content = yaml.safe_load(fragment(detection_names("MobileNetV3_small_x0_35"), "MobileNetV3_small_x0_35", tmp_path))
    assert content["MobileNetV3"] == {
        "model_name": "small", "scale": 0.35, "with_extra_blocks": False, "extra_block_filters": [],
        "feature_maps": [2, 4, 9, 12], "lr_mult_list": [0.25, 0.25, 0.5, 0.5, 0.75], "conv_decay": 4e-5}


def test_tensors_that_the_detector_would_skip_for_their_shape_are_an_error(network_of, tmp_path):
    arch = {"name": "ResNet18", "class_num": 3, "input_image_channel": 4}
    with pytest.raises(InputError, match=r"without the options .* 1 tensors would not fit, such as: stem.0.conv.weight is "
                                         r"\(64, 4, 7, 7\), there \(64, 3, 7, 7\)"):
        write_detection(network_of(**arch), arch, tmp_path, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options, warned", [({"stride_list": [1, 1, 2, 2, 2]}, True), ({"drop_path": 0.1}, False)])
def test_options_that_change_what_is_computed_are_warned_of(options, warned, network_of, tmp_path, capsys):
    arch = {"name": "ResNet18", "class_num": 3, **options}
    write_detection(network_of(**arch), arch, tmp_path, tmp_path)
    assert ("PaddleDetection builds ResNet18 without stride_list" in capsys.readouterr().err) == warned
