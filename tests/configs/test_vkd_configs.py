"""VkD's recipes have the published settings, and their students train."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssld import build
from ssld.config import Config
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.timetable import Timetable

CONFIGS = Path(__file__).parents[2] / "configs" / "Distillation"
DEITS = [("DeiT_tiny", "78.3"), ("DeiT_small", "82.3")]
every_deit = pytest.mark.parametrize("name, top1", DEITS)


def load(name, *overrides):
    return Config.load(CONFIGS / "VkD" / f"{name}.yaml", overrides)


@every_deit
def test_a_deit_recipe_has_the_settings_of_the_released_code(name, top1):
    config = load(name)
    optimizer, train = config.section("Optimizer"), config.data["DataLoader"]["Train"]
    assert f"published top-1 {top1} %" in (CONFIGS / "VkD" / f"{name}.yaml").read_text()
    assert config.section("Global")["epochs"] == 300 and train["sampler"]["batch_size"] == 512
    assert (optimizer["name"], optimizer["beta1"], optimizer["beta2"], optimizer["epsilon"]) == ("AdamW", 0.9, 0.999, 1e-8)
    assert optimizer["weight_decay"] == 0.05 and "clip_norm" not in optimizer and not config.section("EMA")
    assert config.section("AMP") == {"use_amp": True}
    assert "drop_path_rate" not in config.section("Arch")["student"]
    operators = [next(iter(op)) if isinstance(op, dict) else op for op in train["dataset"]["transform_ops"]]
    assert operators == ["DecodeImage", "RandomResizedCrop", "RandFlipImage", "ThreeAugment", "ColorJitter", "NormalizeImage",
                         "ToCHWImage"]
    (mixing,), = (op.values() for op in train["dataset"]["batch_transform_ops"])
    assert {key: (value["alpha"], value["prob"]) for key, value in mixing.items()} == {
        "MixupOperator": (0.8, 0.5), "CutmixOperator": (1.0, 0.5)}


@every_deit
def test_the_rate_is_a_cosine_without_warm_up(name, top1):
    schedule = build.build_schedule(load(name), Timetable.uniform(300, 10))
    steps = np.arange(3000)
    np.testing.assert_allclose([schedule(int(step)) for step in steps],
                               5e-6 + (5e-4 - 5e-6) * (1 + np.cos(np.pi * steps / 3000)) / 2, rtol=1e-9)


@every_deit
def test_the_terms_are_those_of_the_paper_each_with_weight_1(name, top1):
    terms = build.build_terms(load(name))
    assert [(type(term.method).__name__, term.weight) for term in terms] == [("CELoss", 1.0), ("KDLoss", 1.0), ("VkDLoss", 1.0)]
    labels, kd, vkd = (term.method for term in terms)
    assert labels.epsilon == 0.1 and (kd.temperature, kd.head) == (1.0, "distillation")
    assert vkd.pairs == [("norm", "pool")] and vkd.skips == (2, 0) and vkd.options["map"] == "householder"
    assert not vkd.both_sides and vkd.epsilon == 1e-5 and vkd.pooling == "mean"


def small_run(name, folder, small_lists):
    """Five classes, pictures of 64 pixels, batches of 4, a small teacher with random weights."""
    overrides = {"Arch.student.class_num": 5, "Global.epochs": 1, "Global.output_dir": folder / "run",
                 "Global.iter_per_epoch": 2, "Optimizer.lr.warmup_epoch": 0,
                 "Arch.teacher": f"{{name: SmallResNet, class_num: 5, width: 128, pretrained: {folder}/teacher.pdparams}}"}
    if name.startswith("DeiT"):
        overrides["Arch.student.img_size"] = 64
    overrides.update(small_lists(load(name), folder, 64))
    save_weights(build_network("SmallResNet", 5, width=128), folder / "teacher.pdparams")
    return load(name, *(f"{key}={value}" for key, value in overrides.items()))


@pytest.mark.parametrize("name", ["DeiT_tiny", *(pytest.param(n, marks=pytest.mark.slow) for n in ("DeiT_small", "ResNet18"))])
def test_the_student_trains_two_steps_and_the_checkpoint_holds_the_student_alone(name, tmp_path, small_lists):
    trainer = build.build_trainer(small_run(name, tmp_path, small_lists))
    before = {key: tensor.numpy().copy() for key, tensor in trainer.model.student.state_dict().items()}
    trainer.evaluate = None
    folder = trainer.fit()
    still = {key for key, tensor in trainer.model.student.state_dict().items()
             if np.array_equal(tensor.numpy(), before[key]) and before[key].ndim > 1}
    assert not still
    vkd = trainer.model.methods[2]
    assert vkd.diagnostics()["orthogonality_error"] < 1e-5 and vkd.projections[0].d_t == 512
    assert set(read_state(folder)) == set(before)
