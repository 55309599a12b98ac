from __future__ import annotations

import pytest

from ssld.config import Config
from ssld.errors import InputError
from ssld.students import one_student, students_of

DATA = {"Global": {"output_dir": "runs/many", "epochs": 2},
        "Arch": {"teacher": {"name": "ResNet50", "class_num": 10},
                 "students": [{"name": "ResNet18", "class_num": 10},
                              {"run": "dkd", "name": "ResNet18", "class_num": 10, "Loss": {"Train": [{"DKDLoss": {}}]},
                               "Optimizer": {"lr": {"learning_rate": 0.2}}, "EMA": {"decay": 0.9}}]},
        "Loss": {"Train": [{"KDLoss": {}}]},
        "Optimizer": {"name": "Momentum", "lr": {"name": "Cosine", "learning_rate": 0.1}}}


def test_each_student_has_a_run_as_if_it_were_alone():
    runs = students_of(Config(DATA))
    assert list(runs) == ["ResNet18", "dkd"]
    plain, dkd = (run.data for run in runs.values())
    assert plain == {**DATA, "Global": {"output_dir": "runs/many/ResNet18", "epochs": 2},
                     "Arch": {"student": {"name": "ResNet18", "class_num": 10}, "teacher": DATA["Arch"]["teacher"]}}
    assert dkd["Loss"] == {"Train": [{"DKDLoss": {}}]} and dkd["EMA"] == {"decay": 0.9}
    assert dkd["Optimizer"] == {"name": "Momentum", "lr": {"name": "Cosine", "learning_rate": 0.2}}
    assert dkd["Global"]["output_dir"] == "runs/many/dkd" and "run" not in dkd["Arch"]["student"]


def test_a_config_of_one_student_stays_as_it_is():
    config = Config({"Arch": {"student": {"name": "ResNet18"}}})
    assert students_of(config) == {"": config}
    one_student(config)


@pytest.mark.parametrize("changes, said", [
    ({"Arch.students": []}, "must be a list with an entry for each student"),
    ({"Arch.students": {"name": "ResNet18"}}, "must be a list"),
    ({"Arch.students": ["ResNet18"]}, r"Arch.students\[0\]: expected the keys of a student"),
    ({"Arch.student": {"name": "ResNet18"}}, "both 'student' and 'students'"),
    ({"Arch.students": [{"name": "ResNet18"}, {"name": "ResNet18"}]}, "two students are called 'ResNet18'.*own 'run'"),
    ({"Arch.students": [{"run": "../out", "name": "ResNet18"}]}, "run is the name of a folder.*'../out'"),
    ({"Arch.students": [{"class_num": 10}]}, "run is the name of a folder"),
    ({"Arch.students": [{"name": "ResNet18", "Loss": [{"KDLoss": {}}]}]}, r"students\[0\].Loss must hold 'key: value'"),
    ({"Global.output_dir": None}, "needs output_dir")])
def test_what_cannot_be_understood_is_refused(changed, changes, said):
    with pytest.raises(InputError, match=said):
        students_of(Config(changed(DATA, changes)))


def test_where_one_is_meant_several_are_refused_with_the_files_of_each():
    with pytest.raises(InputError, match="runs/many/ResNet18/config.yaml, runs/many/dkd/config.yaml"):
        one_student(Config(DATA))
