from __future__ import annotations

import json

import pytest

from ssld.errors import InputError
from ssld.teachers.record import FILE, TeacherIdentity, TeacherRecord, refuse_another_teacher

TEACHER = TeacherIdentity("ResNet50_vd", 10, "weights/best.pdparams", "ab" * 32, "auto", "running")
INPUTS = {"list": "val.txt", "list_sha256": "cd" * 32, "topk": (1, 5)}


@pytest.fixture
def recorded(tmp_path):
    """A folder with a record of one measurement."""
    record = TeacherRecord(tmp_path, TEACHER)
    record.once("accuracy", INPUTS, lambda: {"top1": 0.75})
    record.write()
    return tmp_path


def measured_again(folder, teacher=TEACHER, inputs=INPUTS) -> bool:
    result, recorded = TeacherRecord(folder, teacher).once("accuracy", inputs, lambda: {"top1": 0.5})
    assert result == {"top1": 0.75 if recorded else 0.5}
    return not recorded


def test_a_measurement_is_made_once_for_the_same_teacher_and_inputs(recorded):
    assert not measured_again(recorded)
    assert not measured_again(recorded, TEACHER._replace(path="moved/best.pdparams"))


def test_the_file_says_who_taught_and_what_was_measured(recorded):
    content = json.loads((recorded / FILE).read_text())
    assert {key: content[key] for key in TEACHER._fields} == TEACHER._asdict()
    assert content["accuracy"] == {"inputs": {**INPUTS, "topk": [1, 5]}, "result": {"top1": 0.75}}


@pytest.mark.parametrize("field, value", [("name", "ResNet18"), ("class_num", 11), ("sha256", "00" * 32), ("engine", "eager"),
                                          ("batch_norm", "batch")])
def test_another_teacher_is_measured_anew(recorded, field, value):
    assert measured_again(recorded, TEACHER._replace(**{field: value}))


@pytest.mark.parametrize("field, value", [("list", "other.txt"), ("list_sha256", "00" * 32), ("topk", (1,))])
def test_other_inputs_are_measured_anew(recorded, field, value):
    assert measured_again(recorded, inputs={**INPUTS, field: value})


@pytest.mark.parametrize("damage", [
    lambda text: text[:len(text) // 2], lambda text: "", lambda text: "[]", lambda text: "{}", lambda text: '{"checksum": 3}',
    lambda text: text.replace("0.75", "0.95"), lambda text: text.replace("ResNet50_vd", "ResNet18"),
    lambda text: text.replace('"checksum": "', '"checksum": "0')])
def test_a_truncated_or_altered_record_is_named_and_measured_anew(recorded, damage, capsys):
    file = recorded / FILE
    file.write_text(damage(file.read_text()))
    assert measured_again(recorded)
    assert f"warning: {file} was truncated or altered; the teacher is measured anew" in capsys.readouterr().err


def test_writing_again_mends_a_damaged_record(recorded):
    (recorded / FILE).write_text("{")
    record = TeacherRecord(recorded, TEACHER)
    record.once("accuracy", INPUTS, lambda: {"top1": 0.75})
    record.write()
    assert not measured_again(recorded)


def test_a_run_is_not_continued_with_another_teacher():
    card = {"teacher": {"path": "first.pdparams", "sha256": "11" * 32}}
    with pytest.raises(InputError, match=f"runs/a was taught by first.pdparams .SHA-256 {'11' * 32}., but the teacher is now "
                                         f"weights/best.pdparams .SHA-256 {'ab' * 32}.. Put the original file back.*--restart"):
        refuse_another_teacher(card, TEACHER, "runs/a")


def test_a_run_is_continued_with_the_same_file_wherever_it_lies_and_where_no_teacher_is_noted():
    refuse_another_teacher({"teacher": {"path": "elsewhere", "sha256": TEACHER.sha256}}, TEACHER, "runs/a")
    refuse_another_teacher({}, TEACHER, "runs/a")
