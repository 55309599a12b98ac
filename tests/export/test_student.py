"""The exported student is the student, for every consumer."""
from __future__ import annotations

import json
import shutil

import numpy as np
import paddle
import pytest
import yaml

from dedup.files import sha256_file
from ssld.commands import export as export_command
from ssld.commands import export_transfer as transfer_command
from ssld.errors import InputError
from ssld.export import comparison
from ssld.export.card import read_card
from ssld.export.packages import ALSO
from ssld.export.student import TARGETS, USES, Student, export_for_transfer, export_student
from ssld.models.stages import stages_of, starts_with
from ssld.models.weights import read_state
from ssld.models.zoo import build_network
from ssld.optim.param_groups import apply_lr_multipliers, param_groups
from ssld.teachers.onednn import OneDNNProgram
from ssld.train.evaluate import Evaluation

ALWAYS = {"student.pdparams", "inference.json", "inference.pdiparams", "transfer.yaml", "card.json"}
EXTRA = {"student.onnx", "student.safetensors", "student_int8.onnx", "student_det.pdparams", "paddledetection.yml"}


def contents(folder):
    return {file.name for file in folder.iterdir()}


def test_every_file_is_there_and_on_the_card(exported):
    card = read_card(exported)
    assert contents(exported) == ALWAYS | EXTRA == {*card.sha256, "card.json"}
    assert all(sha256_file(exported / name) == digest for name, digest in card.sha256.items())


def test_the_card_says_what_was_compared_and_which_tensors_each_file_holds(exported, student, images):
    card = read_card(exported)
    state = student.network.state_dict()
    assert (card.backbone, card.class_num, card.size, card.images_compared) == ("MobileNetV3_small_x0_35", 5, (32, 32), 9)
    assert card.preprocess == student.preprocess and card.class_names == student.class_names
    assert card.tensors == len(state) and card.engine == "onednn_fp32"
    assert card.parameters == sum(int(p.size) for name, p in student.network.named_parameters()
                                  if not name.endswith(("_mean", "_variance")))
    assert card.weights["student.pdparams"] == {"tensors": len(state), "dropped": []} == card.weights["student.safetensors"]
    dropped = [name for name in state if starts_with(name, "fc") or name.startswith("last_")]
    assert card.weights["student_det.pdparams"] == {"tensors": len(state) - len(dropped), "dropped": dropped}
    assert set(card.difference) == set(card.same_top1) == {"inference", "onnx", "int8"} and card.accuracy == {}
    assert max(card.difference["inference"], card.difference["onnx"]) <= 1e-4 < card.difference["int8"] < 0.5
    assert card.same_top1["inference"] == card.same_top1["onnx"] == 1.0


@pytest.fixture
def small(network_of):
    """A student that is exported quickly."""
    arch = {"name": "SmallResNet", "class_num": 5, "width": 4}
    return Student(network_of(**arch), arch)


def test_without_more_words_only_the_five_files_are_written(small, images, tmp_path):
    assert set(export_student(small, tmp_path / "out", images)) == {tmp_path / "out" / name for name in ALWAYS}
    assert contents(tmp_path / "out") == ALWAYS


def test_int8_alone_leaves_no_float32_file(small, images, tmp_path):
    export_student(small, tmp_path, images, also=["int8"], calibration=lambda: images)
    assert contents(tmp_path) == ALWAYS | {"student_int8.onnx"} and set(read_card(tmp_path).difference) == {"inference", "int8"}


def test_each_models_accuracy_is_measured_with_its_own_program(small, images, tmp_path):
    asked = {}

    def evaluate(name, program):
        asked[name] = program(images)
        return Evaluation({"top1": len(asked) / 10}, 9, 0, 0)

    export_student(small, tmp_path, images, also=["int8", "onnx"], calibration=lambda: images, evaluate=evaluate)
    assert list(asked) == ["inference", "onnx", "int8"] and (asked["int8"] != asked["onnx"]).any()
    card = read_card(tmp_path)
    assert {name: measured["accuracy"] for name, measured in card.accuracy.items()} == {
        "inference": {"top1": 0.1}, "onnx": {"top1": 0.2}, "int8": {"top1": 0.3}}
    assert card.accuracy["int8"]["images"] == 9


def test_paddleclas_loads_all_tensors_and_gives_the_same_logits(exported, student, images, logits):
    from paddleclas.ppcls.arch import backbone

    fresh = backbone.MobileNetV3_small_x0_35(class_num=5)
    state = read_state(exported / "student.pdparams")
    assert {n: tuple(v.shape) for n, v in state.items()} == {n: tuple(t.shape) for n, t in fresh.state_dict().items()}
    backbone.MobileNetV3_small_x0_35(class_num=5, pretrained=str(exported / "student"))
    fresh.set_state_dict(paddle.load(str(exported / "student.pdparams")))
    np.testing.assert_array_equal(logits(fresh, images), logits(student.network, images))


def test_the_inference_model_gives_the_same_logits_for_any_batch(exported, student, images, logits):
    program, expected = OneDNNProgram(exported / "inference"), logits(student.network, images)
    for batch in (images, images[:1]):
        np.testing.assert_allclose(program(batch), expected[:len(batch)], atol=1e-4 * np.abs(expected).max())


def test_the_transfer_config_fits_the_backbone(exported):
    content = yaml.safe_load((exported / "transfer.yaml").read_text())
    options = content["Arch"]["student"]
    assert options["lr_mult_list"] == [0.25, 0.25, 0.5, 0.5, 0.75]           # published for MobileNetV3
    assert options["pretrained"] == str(exported / "student.pdparams")
    assert content["Optimizer"]["regularizer"] == {"name": "L2", "coeff": 4e-5}
    network = build_network(options["name"], options["class_num"])
    apply_lr_multipliers(network, options["lr_mult_list"])
    rates = {p.optimize_attr["learning_rate"] for p in network.parameters()}
    assert rates == {0.25, 0.5, 1.0}            # the small network has no thirteenth block, the fifth value none to act on


def test_nothing_of_the_distiller_leaks_out(exported):
    state = read_state(exported / "student.pdparams")
    assert not any(name.lower().startswith(("student", "teacher", "methods")) for name in state)


@pytest.mark.parametrize("use, first", [(None, 0.1), ("classification", 0.1), ("detection", 0.05)])
def test_multipliers_are_those_of_the_use(use, first, network_of, tmp_path):
    student = Student(network_of("ResNet18_vd", 3), {"name": "ResNet18_vd", "class_num": 3})
    export_for_transfer(student, tmp_path, ["paddleclas", "paddledetection"], use)
    values = yaml.safe_load((tmp_path / "transfer.yaml").read_text())["Arch"]["student"]["lr_mult_list"]
    theirs = yaml.safe_load((tmp_path / "paddledetection.yml").read_text())["ResNet"]["lr_mult_list"]
    assert values[0] == first
    assert theirs == ([0.05, 0.05, 0.1, 0.15] if use != "classification" else [0.1, 0.2, 0.2, 0.3])


def test_a_transfer_export_needs_no_image_and_says_what_it_dropped(student, tmp_path):
    files = export_for_transfer(student, tmp_path / "out", TARGETS, classifier=False)
    assert {file.name for file in files} == contents(tmp_path / "out") == {
        "student.pdparams", "transfer.yaml", "student_det.pdparams", "paddledetection.yml", "card.json"}
    card, whole = read_card(tmp_path / "out"), student.network.state_dict()
    assert card.weights["student.pdparams"] == {"tensors": len(whole) - 2, "dropped": ["fc.weight", "fc.bias"]}
    assert card.input is None and card.accuracy == {} and card.engine is None
    kept = read_state(tmp_path / "out" / "student.pdparams")
    assert whole.keys() - kept.keys() == {"fc.weight", "fc.bias"} and not kept.keys() - whole.keys()
    for name, value in kept.items():
        np.testing.assert_array_equal(value, whole[name].numpy(), err_msg=name)


def test_paddleclas_takes_weights_without_a_classifier_for_another_number_of_classes(student, tmp_path, images, logits):
    from paddleclas.ppcls.arch import backbone

    export_for_transfer(student, tmp_path, classifier=False)
    fresh = backbone.MobileNetV3_small_x0_35(class_num=7, pretrained=str(tmp_path / "student"))
    assert logits(fresh, images).shape == (9, 7)
    for name, value in read_state(tmp_path / "student.pdparams").items():
        np.testing.assert_array_equal(fresh.state_dict()[name].numpy(), value, err_msg=name)


def test_the_multipliers_of_the_yaml_go_into_anybodys_script(network_of, tmp_path):
    network = network_of("SmallResNet", 3, width=4)
    export_for_transfer(Student(network, {"name": "SmallResNet", "class_num": 3, "width": 4}), tmp_path)
    values = yaml.safe_load((tmp_path / "transfer.yaml").read_text())["Arch"]["student"]["lr_mult_list"]
    assert len(values) == len(stages_of(network).groups) and param_groups(network, values)


def test_a_backbone_without_a_row_is_exported_with_a_remark_and_refused_for_transfer(images, tmp_path, network_of):
    student = Student(network_of("SqueezeNet1_1", 5), {"name": "SqueezeNet1_1", "class_num": 5})
    with pytest.raises(InputError, match="the stages of SqueezeNet are not known. Its parameters begin with: _conv, _conv1"):
        export_for_transfer(student, tmp_path / "out")
    with pytest.raises(InputError, match="names of SqueezeNet1_1 are not known. Backbones that can go there: ResNet18"):
        export_for_transfer(student, tmp_path / "out", ["paddledetection"])
    assert not (tmp_path / "out").exists()
    export_student(student, tmp_path / "out", images.repeat(2, 2).repeat(2, 3))
    text = (tmp_path / "out" / "transfer.yaml").read_text()
    assert "the stages of SqueezeNet are not known" in text and "lr_mult_list" not in text
    assert yaml.safe_load(text)["Arch"]["student"]["name"] == "SqueezeNet1_1"


def test_a_second_export_takes_the_place_of_the_first(exported, small, images, tmp_path, capsys):
    folder = tmp_path / "out"
    shutil.copytree(exported, folder)
    (folder / "notes.txt").write_text("mine")
    export_student(small, folder, images)
    assert contents(folder) == ALWAYS | {"notes.txt"}
    assert f"removed {folder / 'student_int8.onnx'}, which an earlier export left" in capsys.readouterr().out
    assert read_card(folder).backbone == "SmallResNet"


def test_an_export_that_fails_leaves_the_first_as_it_was(exported, small, images, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    shutil.copytree(exported, folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    monkeypatch.setattr("ssld.export.inference.TOLERANCE", -1.0)
    with pytest.raises(InputError, match="the exported inference model differs from the network by .* of the largest logit"):
        export_student(small, folder, images)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_folder_that_cannot_be_written_is_a_clear_error(student, images, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="file cannot be written"):
        export_student(student, tmp_path / "file", images)
    assert json.dumps([f.name for f in tmp_path.iterdir()]) == '["file"]'


def test_an_unknown_format_is_refused_with_the_nearest(student, images, tmp_path):
    with pytest.raises(InputError, match="also cannot be 'onx'. Did you mean 'onnx'"):
        export_student(student, tmp_path / "out", images, also=["onx"])
    assert not (tmp_path / "out").exists()


def test_a_missing_package_is_said_before_anything_is_written(student, images, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in ("onnx", "safetensors", "int8"):
        with pytest.raises(InputError, match=rf"the format {name} needs packages that are not installed: .*'ssld\[export\]'"):
            export_student(student, tmp_path / "out", images, also=[name])
    assert not (tmp_path / "out").exists()


def test_the_command_offers_what_there_is():
    assert set(export_command._ALSO) == set(ALSO)
    assert export_command._USES == USES and transfer_command._TARGETS == TARGETS
