"""Descriptions of runs whose weights, lists and images are not there."""
from __future__ import annotations

import json

import pytest

from ssld.build_description import build_description
from ssld.cli import main
from ssld.config import Config
from ssld.errors import InputError

DATA = {"Train": {"dataset": {"image_root": "nowhere", "cls_label_path": "nowhere.txt", "transform_ops": [
    {"DecodeImage": {}}, {"RandomResizedCrop": {"size": 32}}, "NormalizeImage", "ToCHWImage"]}, "sampler": {"batch_size": 8}}}
SMALL = {"name": "SmallResNet", "class_num": 5, "width": 8}


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(**sections):
    return Config({"Global": {"output_dir": "run", "epochs": 3}, "Arch": {"student": SMALL}, "DataLoader": DATA,
                   "Loss": {"Train": [{"CELoss": {}}]}, "Optimizer": {"lr": {"name": "ConstLR", "learning_rate": 0.1}},
                   **sections}, "run.yaml")


def taught(*terms):
    teacher = {**SMALL, "width": 16, "pretrained": "nowhere.pdparams"}
    return config(Arch={"student": SMALL, "teacher": teacher}, Loss={"Train": [{term: {}} for term in terms]})


def test_without_a_teacher_there_is_the_student_alone_and_unknown_steps():
    found = build_description(config())
    assert [part.role for part in found.parts] == ["student"] and found.size == (32, 32)
    assert found.batch == {"per_process": 8, "processes": 1, "update_freq": 1, "total": 8}
    assert found.steps == {"epochs": 3} and found.learning_rate == {"highest": 0.1}
    assert list(found.memory) == ["student"] and "not known; 3 epochs" in found.text()


def test_the_lines_of_the_list_or_a_number_make_the_steps(tmp_path):
    (tmp_path / "nowhere.txt").write_text("a.jpg 0\nb.jpg 1\n" * 20)
    assert build_description(config()).steps["total"] == 3 * 5
    found = build_description(config(), processes=2, images=160)
    assert found.steps == {"images": 160, "epochs": 3, "timetable": "3 epochs of 10", "total": 30}
    assert found.batch["total"] == 16


def test_a_teacher_needs_no_weights_and_has_neither_gradient_nor_optimizer():
    found = build_description(taught("KDLoss"))
    assert [part.role for part in found.parts] == ["student", "teacher"]
    assert found.parts[1].multiply_adds > 3 * found.parts[0].multiply_adds
    assert found.memory["teacher"].gradients == found.memory["teacher"].optimizer == 0 < found.memory["student"].optimizer


@pytest.mark.parametrize("name", ["VkDLoss", "ReviewKDLoss", "MEALV2Discriminator"])
def test_layers_of_any_method_are_counted(name):
    options = {"student_taps": ["stage2", "stage3"], "teacher_taps": ["stage2", "stage3"]} if name == "ReviewKDLoss" else {}
    run = taught("KDLoss")
    run.data["Loss"]["Train"] = [{name: options}]
    part = build_description(run).parts[2]
    assert (part.role, part.name) == (name, "layers") and part.parameters > 0 and part.multiply_adds is None


def test_the_components_of_a_method_add_up_to_its_parameters():
    run = taught("KDLoss")
    run.data["Arch"] = {"student": {**SMALL, "stem_stride": 4},
                        "teacher": {"name": "SmallSwin", "class_num": 5, "img_size": 32, "patch": 1, "width": 16,
                                    "pretrained": "nowhere"}}
    run.data["Loss"]["Train"] = [{"ScaleKDLoss": {"heads": [2, 2], "student_taps": ["stage2", "stage3"]}}]
    found = build_description(run)
    parts = {part.name: part for part in found.parts if part.role == "ScaleKDLoss"}
    assert set(parts) == {"cap_s3", "cap_s4", "tpp"} and parts["tpp"].parameters == 0
    assert parts["tpp"].multiply_adds > 0
    assert 4 * found.training_only.parameters == found.memory["ScaleKDLoss"].gradients
    assert "training only, together" in found.text()


def test_stored_labels_are_no_network():
    run = config(Arch={"student": SMALL, "teacher": {"source": "stored", "path": "nowhere", "crops_per_image": 4}},
                 Loss={"Train": [{"SoftCELoss": {}}]})
    found = build_description(run, images=80)
    assert [part.role for part in found.parts] == ["student"] and "stored labels" in found.remarks[0]
    assert found.batch["total"] == 8 and found.steps["images"] == 80


def test_another_batch_than_the_rate_is_written_for_is_remarked():
    run = config(Optimizer={"lr": {"name": "Cosine", "learning_rate": 0.1, "total_batch": 32}})
    assert "total batch of 32, this run has 8" in build_description(run).remarks[0]
    assert not build_description(run, processes=4).remarks


def test_images_of_their_own_size_are_refused():
    run = config()
    run.data["DataLoader"] = json.loads(json.dumps(DATA))
    run.data["DataLoader"]["Train"]["dataset"]["transform_ops"].pop(1)
    with pytest.raises(InputError, match="images keep a size of their own"):
        build_description(run)


def test_the_command_prints_the_table_and_writes_the_same_as_json(tmp_path, capsys):
    taught("KDLoss").write(tmp_path / "run.yaml")
    assert main(["describe", "-c", "run.yaml", "--images", "80", "--processes", "2", "--json", "found.json"]) == 0
    said, found = capsys.readouterr().out, json.loads((tmp_path / "found.json").read_text())
    assert "16 = 8 x 2 processes x update_freq 1" in said and "15 (3 epochs of 5), 80 images" in said
    assert found["batch"]["total"] == 16 and found["steps"]["total"] == 15
    assert [part["role"] for part in found["parts"]] == ["student", "teacher"]
    assert main(["describe", "-c", "run.yaml", "--images", "0"]) == 2
