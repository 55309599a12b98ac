"""The exported student is the student, for every consumer."""
import json

import numpy as np
import paddle
import pytest
import yaml

from dedup.files import sha256_file
from ssld.errors import InputError
from ssld.export.student import export_student
from ssld.models.weights import read_state
from ssld.models.zoo import build_network
from ssld.optim.param_groups import apply_lr_multipliers
from ssld.teachers.onednn import OneDNNProgram

ARCH = {"name": "MobileNetV3_small_x0_35", "class_num": 5}


@pytest.fixture(scope="module")
def student():
    paddle.seed(0)
    network = build_network(**ARCH)
    for name, tensor in network.state_dict().items():        # statistics that are not 0 and 1
        if name.endswith("_variance"):
            tensor.set_value(tensor * 1.7)
    network.eval()
    return network


@pytest.fixture(scope="module")
def exported(student, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    return folder, export_student(student, ARCH, folder, (32, 32), {"weights": "runs/x"})


def logits(network, image):
    network.eval()
    with paddle.no_grad():
        return network(paddle.to_tensor(image)).numpy()


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)


def test_every_file_is_there_and_on_the_card(exported):
    folder, files = exported
    card = json.loads((folder / "card.json").read_text())
    assert {f.name for f in files} == {f.name for f in folder.iterdir()} == {*card["sha256"], "card.json"}
    assert all(sha256_file(folder / name) == digest for name, digest in card["sha256"].items())


def test_paddleclas_loads_all_tensors_and_gives_the_same_logits(exported, student, image):
    from paddleclas.ppcls.arch import backbone

    fresh = backbone.MobileNetV3_small_x0_35(class_num=5)
    state = read_state(exported[0] / "student.pdparams")
    assert {n: tuple(v.shape) for n, v in state.items()} == {n: tuple(t.shape) for n, t in fresh.state_dict().items()}
    backbone.MobileNetV3_small_x0_35(class_num=5, pretrained=str(exported[0] / "student"))
    fresh.set_state_dict(paddle.load(str(exported[0] / "student.pdparams")))
    np.testing.assert_array_equal(logits(fresh, image), logits(student, image))


def test_the_inference_model_gives_the_same_logits_for_any_batch(exported, student, image):
    program, expected = OneDNNProgram(exported[0] / "inference"), logits(student, image)
    for batch in (image, image[:1]):
        np.testing.assert_allclose(program(batch), expected[:len(batch)], atol=1e-4 * np.abs(expected).max())


def test_the_transfer_config_fits_the_backbone(exported):
    content = yaml.safe_load((exported[0] / "transfer.yaml").read_text())
    options = content["Arch"]["student"]
    assert options["lr_mult_list"] == [0.25, 0.25, 0.5, 0.5, 0.75]           # published for MobileNetV3
    network = build_network(options["name"], options["class_num"])
    apply_lr_multipliers(network, options["lr_mult_list"])
    rates = {p.optimize_attr["learning_rate"] for p in network.parameters()}
    assert rates == {0.25, 0.5, 1.0}            # the small network has no thirteenth block, the fifth value none to act on


def test_nothing_of_the_distiller_leaks_out(exported):
    assert not any(name.lower().startswith(("student", "teacher", "methods")) for name in
                   read_state(exported[0] / "student.pdparams"))


def test_a_folder_that_cannot_be_written_is_a_clear_error(student, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file"):
        export_student(student, ARCH, tmp_path / "file", (32, 32), {})
