"""Every shipped curation runs, with small lists and a small teacher in the place of the large ones."""
from pathlib import Path

import cv2
import numpy as np
import pytest

from ssld.build_expansion import run_expansion
from ssld.config import Config
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network

FOLDER = Path(__file__).parents[2] / "configs" / "Distillation" / "expand"
SMALL = {"name": "SmallResNet", "class_num": 3, "width": 4}
FEWER = {"k": 2, "count": 4, "clusters": 2}


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    """Three lists of pictures, the pool with a copy of an evaluation picture, and a teacher."""
    folder = tmp_path_factory.mktemp("lists")
    for seed, (name, count) in enumerate({"pool": 12, "evaluation": 4, "labelled": 3}.items()):
        noise = np.random.default_rng(seed).random((count, 40, 40, 3)).astype(np.float32)
        for i, pixels in enumerate(noise):
            large = cv2.resize(pixels, (300, 260), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255
            cv2.imwrite(str(folder / f"{name}{i}.png"), large)
        (folder / f"{name}.txt").write_text("".join(f"{name}{i}.png {i % 3}\n" for i in range(count)))
    (folder / "pool5.png").write_bytes((folder / "evaluation1.png").read_bytes())
    save_weights(build_network(**SMALL), folder / "teacher.pdparams")
    return folder


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.yaml")))
def test_a_shipped_curation_runs(lists, tmp_path, name):
    config = Config.load(FOLDER / name)
    config.data["Global"] = {"output_dir": str(tmp_path), "device": "cpu"}
    config.data["Engine"] = {}
    config.data["Arch"] = {"teacher": {**SMALL, "pretrained": str(lists / "teacher.pdparams")}}
    config.data["Lists"] = {name: {"cls_label_path": str(lists / f"{name}.txt")} for name in config.data["Lists"]}
    config.data["Score"].update(num_workers=0, gpus_per_task=0)
    config.data["Score"]["top"] = min(3, config.data["Score"]["top"])
    config.data["Select"].update({key: few for key, few in FEWER.items() if key in config.data["Select"]})
    config.data["Merge"] = {}
    pool = run_expansion(config).report["pool"]
    assert pool["duplicate"] == 1 and pool["selected"] > 0 and pool["lines"] == 12
