from __future__ import annotations

import pytest

from ssld.errors import InputError
from ssld.transfer.plan import Images


def test_what_is_not_said_has_its_default(plan_of, tmp_path):
    plan = plan_of({"search": {}, "final": {}})
    assert plan.search.rungs == [1, 3, 9] and plan.search.eta == 3 and plan.search.trials == "grid"
    assert plan.final.seeds == [0] and plan.final.baselines == [] and plan.config == str(tmp_path / "base.yaml")
    assert plan.train.is_folder and plan.validation == 0.3


def test_validation_may_be_images_of_its_own(plan_of):
    images = plan_of({"validation": {"image_root": "more"}}).validation
    assert images == Images("more") and images.is_folder


@pytest.mark.parametrize("changes, message", [
    ({"search.rungs": [3, 3]}, "Transfer.search: rungs must increase, .*: .3, 3."),
    ({"search.rungs": [3, 1]}, "rungs must increase"), ({"search.rungs": []}, "rungs must be a list of epochs"),
    ({"search.rungs": [0, 1]}, "each of rungs must be a whole number of at least 1"),
    ({"search.eta": 1}, "eta must be at least 2"), ({"search.trials": 0}, "trials .* at least 1"),
    ({"search.trials": "all"}, "trials .a number, or 'grid'. must be a whole number"),
    ({"search.sampler": "grid"}, "sampler cannot be 'grid'"), ({"search.sampler": "tpe"}, "it needs rounds above 1"),
    ({"search.rounds": 2}, "sampler: random learns nothing"),
    ({"search.sampler": "tpe", "search.rounds": 2}, "2 rounds need a number of trials"),
    ({"search.sampler": "tpe", "search.rounds": 3, "search.trials": 2}, "3 rounds need a number of trials"),
    ({"search.rung": [1]}, "Transfer.search has no option 'rung'. Did you mean 'rungs'"),
    ({"validation": 1.0}, "validation must be the share"), ({"validation": "some"}, "validation must be the share"),
    ({"use": "segmentation"}, "use cannot be 'segmentation'"),
    ({"train": {"root": "x"}}, "Transfer.train has no option 'root'"),
    ({"also": "onnx"}, "also must be a list of formats such as .onnx., not 'onnx'"),
    ({"train": "x"}, "Transfer.train: expected options as 'key: value', found 'x'"),
    ({"class_names": "names.txt"}, "class_names belongs to a list"),
    ({"train": {"image_root": ".", "cls_label_path": "x.txt"}}, "eval and validation must be lists as well"),
    ({"final.baselines": ["ones", "ones"]}, "names must differ"), ({"final.baselines": "ones"}, "baselines must be a list"),
    ({"final.seeds": []}, "seeds must be a list"), ({"final.scratch": ["a=b"]}, "scratch must hold 'Dotted.key: value'"),
    ({"final": {"scratch": {"a": 1}}}, "Add 'scratch' to baselines"), ({"studnt": 1}, "Did you mean 'student'")])
def test_a_section_that_means_nothing_is_refused_by_its_place(plan_of, changes, message):
    with pytest.raises(InputError, match=f"transfer.yaml: .*(?:{message})"):
        plan_of(changes)
