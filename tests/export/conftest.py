"""A trained-looking student, its images, and what an export made of them."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld.export.student import Student, export_student
from ssld.models.zoo import build_network

ARCH = {"name": "MobileNetV3_small_x0_35", "class_num": 5}
PREPROCESS = [{"DecodeImage": {}}, {"NormalizeImage": {}}, {"ToCHWImage": {}}]


def make_network(name: str, class_num: int = 5, seed: int = 0, **options):
    """A network in evaluation mode whose statistics are not 0 and 1."""
    paddle.seed(seed)
    np.random.seed(seed)
    network = build_network(name, class_num, **options)
    for place, (key, tensor) in enumerate(network.state_dict().items()):
        if key.endswith("_variance"):
            tensor.set_value(tensor * (1.7 + place % 3 / 10))
        if key.endswith("_mean"):
            tensor.set_value(tensor + 0.1)
    network.eval()
    return network


@pytest.fixture(scope="session")
def network_of():
    """network_of(name, class_num=5, ...): a network in evaluation mode whose statistics are not 0 and 1."""
    return make_network


@pytest.fixture(scope="session")
def images():
    """Nine pictures, float32 [9, 3, 32, 32]."""
    return np.random.default_rng(0).standard_normal((9, 3, 32, 32)).astype(np.float32)


@pytest.fixture(scope="session")
def student():
    """A small MobileNetV3 of five classes."""
    return Student(make_network(**ARCH), ARCH, {"weights": "runs/x"}, PREPROCESS, ["a", "b", "c", "d", "e"])


@pytest.fixture(scope="session")
def logits():
    """logits(network, image): of a network in evaluation mode."""
    def logits(network, image):
        network.eval()
        with paddle.no_grad():
            return network(paddle.to_tensor(image)).numpy()
    return logits


@pytest.fixture(scope="session")
def exported(student, images, tmp_path_factory):
    """A folder with everything that an export writes."""
    folder = tmp_path_factory.mktemp("exported")
    files = export_student(student, folder, images, also=["onnx", "safetensors", "int8", "detection"],
                           calibration=lambda: images)
    assert sorted(files) == sorted(folder.iterdir())
    return folder
