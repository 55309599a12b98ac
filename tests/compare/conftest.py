"""A comparison that is tiny: its section, and the files that it names."""
from __future__ import annotations

import pytest
import yaml

TEACHER = {"name": "SmallResNet", "class_num": 4, "width": 4, "pretrained": "set by the comparison"}


@pytest.fixture
def section():
    """The section Compare: labels alone and two taught methods under two recipes."""
    return {"output_dir": "runs", "seeds": [0, 1], "title": "all of them", "reference": "KD",
            "before": [{"name": "teacher", "config": "teacher.yaml", "once": True, "title": "the teacher"}],
            "set": {"Arch.teacher.pretrained": "{teacher}/latest"},
            "recipes": [{"name": "plain", "config": "plain.yaml", "task": {"CELoss": {}}},
                        {"name": "slow", "config": "slow.yaml", "task": {"BCELoss": {"weight": 2.0}}, "title": "a lower rate"}],
            "methods": [{"name": "supervised", "teacher": False, "losses": [], "title": "labels alone"},
                        {"name": "KD", "task_weight": 0.25, "losses": [{"KDLoss": {"weight": 0.75}}]},
                        {"name": "JSD", "task_weight": 0, "losses": [{"JSDivLoss": {}}]}]}


@pytest.fixture
def folder(tiny, section, tmp_path):
    """The files of a comparison that can be run; `section` writes into the folder's out."""
    (tmp_path / "teacher.yaml").write_text(yaml.safe_dump(tiny))
    tiny["Arch"]["teacher"] = dict(TEACHER)
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(tiny))
    tiny["Optimizer"]["lr"]["learning_rate"] = 0.01
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(tiny))
    section["output_dir"] = str(tmp_path / "out")
    return tmp_path
