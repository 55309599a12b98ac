from __future__ import annotations

import inspect

import numpy as np
import paddle
import pytest

from ssld.errors import InputError
from ssld.models import zoo
from ssld.models.zoo import OURS, backbone_names, build_network, published_weights


def test_a_paddleclas_backbone_builds_with_the_given_classes():
    network = build_network("MobileNetV3_small_x0_35", 7)
    network.eval()
    assert network(paddle.zeros([2, 3, 32, 32])).shape == [2, 7]


def test_one_of_ours_builds_with_its_options():
    assert build_network("SmallResNet", 5, width=4, depth=14).fc.weight.shape == [16, 5]


def test_options_of_a_backbone_reach_it():
    assert build_network("MobileNetV3_small_x0_35", 7, dropout_prob=0.6).dropout.p == 0.6


@pytest.mark.parametrize("name, nearest", [("ResNet5_vd", "ResNet50_vd"), ("resnet50_vd", "ResNet50_vd"),
                                           ("SmallRestNet", "SmallResNet")])
def test_an_unknown_backbone_is_refused_with_the_nearest_name(name, nearest):
    with pytest.raises(InputError, match=f"^here: there is no backbone '{name}'. Did you mean '{nearest}'"):
        build_network(name, 10, "here")


@pytest.mark.parametrize("name", ["os", "ResNet", "nn", "__init__"])
def test_what_else_lies_in_the_module_is_no_backbone(name):
    with pytest.raises(InputError, match="there is no backbone"):
        build_network(name, 10)


@pytest.mark.parametrize("name, option, nearest", [("MobileNetV3_small_x0_35", "dropout_prop", "dropout_prob"),
                                                   ("SmallResNet", "widht", "width")])
def test_an_unknown_option_is_refused_with_the_nearest_one(name, option, nearest):
    with pytest.raises(InputError, match=f"no option '{option}'. Did you mean '{nearest}'"):
        build_network(name, 10, "here", **{option: 1})


@pytest.mark.parametrize("class_num", [0, -1, 2.5, "10", True])
def test_a_class_count_that_is_none_is_refused(class_num):
    with pytest.raises(InputError, match="class_num"):
        build_network("SmallResNet", class_num)


def test_two_networks_that_name_their_parameters_themselves_live_in_one_process():
    networks = [build_network("MobileNetV2_x0_25", 3), build_network("MobileNetV2_x0_25", 3),
                build_network("ShuffleNetV2_x0_25", 3)]
    names = [parameter.name for network in networks for parameter in network.parameters()]
    assert len(set(names)) == len(names)
    trained = [p for network in networks for p in network.parameters() if not p.stop_gradient]
    optimizer = paddle.optimizer.Momentum(0.1, parameters=trained)
    image = paddle.ones([2, 3, 32, 32])
    sum(network(image).mean() for network in networks).backward()
    optimizer.step()
    assert len(optimizer.state_dict()) == len(trained)


@pytest.mark.slow
def test_mobilenet_v2_and_res2net_of_full_size_live_in_one_process():
    names = [parameter.name for backbone in ("MobileNetV2", "Res2Net50_vd_26w_4s")
             for parameter in build_network(backbone, 10).parameters()]
    assert len(set(names)) == len(names)


def test_the_seed_decides_the_weights():
    def weights():
        paddle.seed(4)
        return build_network("MobileNetV3_small_x0_35", 3).fc.weight.numpy()
    np.testing.assert_array_equal(weights(), weights())


def test_every_listed_name_takes_pretrained_or_is_ours():
    names = backbone_names()
    assert len(names) > 200 and {"ResNet50_vd", "MobileNetV3_large_x1_0", *OURS} <= set(names)
    assert names == sorted(names)
    assert all("pretrained" in inspect.signature(getattr(zoo._backbones(), n)).parameters for n in names if n not in OURS)


def test_published_weights_exist_only_for_published_networks():
    with pytest.raises(InputError, match="PaddleClas publishes no weights of SmallResNet"):
        published_weights("SmallResNet")


def test_a_download_that_fails_names_the_address(monkeypatch):
    def offline(url):
        raise RuntimeError(f"no route to {url}")
    monkeypatch.setattr(paddle.utils.download, "get_weights_path_from_url", offline)
    with pytest.raises(InputError, match="could not be downloaded from https.*_ssld_pretrained.*give pretrained its path"):
        published_weights("ResNet50_vd", use_ssld=True)
