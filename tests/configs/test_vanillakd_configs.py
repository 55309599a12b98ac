"""VanillaKD's recipes have the published settings, and their students train."""
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ssld import build
from ssld.config import Config
from ssld.data.repeated import RASampler
from ssld.models import residual
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.students import students_of
from ssld.timetable import Timetable

CONFIGS = Path(__file__).parents[2] / "configs" / "Distillation"
LOGITS = ["kd", "bkd", "dkd", "dist"]
FEATURES = ["correlation", "rkd", "review", "crd"]
METHODS = {"kd": "KDLoss", "bkd": "BKDLoss", "dkd": "DKDLoss", "dist": "DISTLoss", "correlation": "CorrelationLoss",
           "rkd": "RKDLoss", "review": "ReviewKDLoss", "crd": "CRDLoss"}
ON_A2 = [f"{loss}_A2" for loss in LOGITS + FEATURES]
ON_IMAGENET = [f"{loss}_A1" for loss in LOGITS] + ON_A2
# top-1 in percent of resnet20 taught by resnet56, of the teacher and of the student alone: published tables
ON_CIFAR = {"kd": "70.66", "dkd": "71.97", "dist": "71.78", "correlation": "69.63", "rkd": "69.61", "review": "71.89",
            "crd": "71.16", "teacher": "72.34", "supervised": "69.06"}


def load(name, *overrides):
    return Config.load(CONFIGS / "VanillaKD" / f"{name}.yaml", overrides)


def operators(config, mode):
    ops = config.data["DataLoader"][mode]["dataset"]["transform_ops"]
    return {name: options for op in ops for name, options in (op.items() if isinstance(op, dict) else [(op, {})])}


def test_the_folder_holds_these_runs_and_no_others():
    names = {file.stem for file in (CONFIGS / "VanillaKD").glob("*.yaml")}
    assert names == {*ON_IMAGENET, *(f"{name}_CIFAR" for name in ON_CIFAR), "students_CIFAR"}
    for name in names:
        assert load(name).section("Global")["output_dir"] == f"runs/VanillaKD/{name}"


@pytest.mark.parametrize("name", ON_IMAGENET)
def test_a_run_has_the_settings_of_its_recipe(name):
    config, (loss, recipe) = load(name), name.split("_")
    epochs, decay, smoothing, alpha = {"A1": (600, 0.01, 0.1, 0.2), "A2": (300, 0.02, 0.0, 0.1)}[recipe]
    optimizer, train = config.section("Optimizer"), config.data["DataLoader"]["Train"]
    assert config.section("Global")["epochs"] == epochs and optimizer["name"] == "Lamb"
    assert (optimizer["weight_decay"], optimizer["clip_norm"], optimizer["epsilon"]) == (decay, 1.0, 1e-6)
    assert (optimizer["beta1"], optimizer["beta2"], optimizer["one_dim_param_no_weight_decay"]) == (0.9, 0.999, True)
    assert train["sampler"] == {"name": "RASampler", "repeats": 3, "batch_size": 256, "shuffle": True, "drop_last": True}
    assert train["dataset"]["batch_transform_ops"] == [{"OpSampler": {
        "MixupOperator": {"alpha": alpha, "prob": 0.5, "partner": "reversed"},
        "CutmixOperator": {"alpha": 1.0, "prob": 0.5, "partner": "reversed"}}}]
    assert config.section("AMP")["use_amp"] is True and not config.section("EMA")
    target, method = (next(iter(term.items())) for term in config.section("Loss")["Train"])
    assert target == ("BCELoss" if loss in LOGITS else "CELoss", {"weight": 1.0, "epsilon": smoothing})
    assert method[0] == METHODS[loss] and method[1]["weight"] == 1.0
    arch = config.section("Arch")
    assert arch["student"] == {"name": "ResNet50", "class_num": 1000, "drop_path": 0.05, "zero_init_last": True}
    assert arch["teacher"]["name"] == ("BEiTv2_base_patch16" if loss in LOGITS else "ResNet152")


@pytest.mark.parametrize("name", ["kd_A1", "crd_A2"])
def test_images_are_augmented_as_the_recipe_says(name):
    ops = operators(load(name), "Train")
    assert list(ops) == ["DecodeImage", "RandomResizedCrop", "RandFlipImage", "RandAugment", "NormalizeImage", "ToCHWImage"]
    assert ops["RandomResizedCrop"] == {"size": 224, "scale": [0.08, 1.0], "interpolation": "random", "backend": "pil"}
    assert ops["RandAugment"] == {"num_layers": 2, "magnitude": 7, "magnitude_std": 0.5, "prob": 0.5}
    ops = operators(load(name), "Eval")
    assert ops["ResizeImage"]["resize_short"] == math.floor(224 / 0.95) and ops["ResizeImage"]["interpolation"] == "bicubic"


@pytest.mark.parametrize("name, epochs", [("kd_A1", 600), ("kd_A2", 300), ("review_A2", 300)])
def test_the_rate_of_each_epoch_is_that_of_the_recipe(name, epochs):
    steps = RASampler(1_281_167, 256, world=8).steps_per_pass
    assert steps == 625
    schedule = build.build_schedule(load(name), Timetable.uniform(epochs, steps))
    for e in range(epochs):
        cosine = 1e-6 + (5e-3 - 1e-6) / 2 * (1 + math.cos(math.pi * e / epochs))
        expected = 1e-6 + e * (5e-3 - 1e-6) / 5 if e < 5 else cosine
        assert schedule(e * steps) == schedule((e + 1) * steps - 1) == pytest.approx(expected, rel=1e-12)
    if epochs == 300:
        assert schedule(5 * steps) == pytest.approx(4.99657e-3, abs=1e-8)
        assert schedule(300 * steps - 1) == pytest.approx(1.137e-6, abs=1e-9)


def test_only_review_begins_after_an_epoch():
    for name in (*ON_IMAGENET, *(f"{name}_CIFAR" for name in ON_CIFAR)):
        terms = {type(term.method).__name__: term for term in build.build_terms(load(name))}
        late = {method: (term.warmup_epochs, term.warmup_by_epoch) for method, term in terms.items() if term.warmup_epochs}
        published = {"review_A2": {"ReviewKDLoss": (1, True)}, "review_CIFAR": {"ReviewKDLoss": (20, "from_1")},
                     "dkd_CIFAR": {"DKDLoss": (20, "from_1")}}
        assert late == published.get(name, {})


@pytest.mark.parametrize("name", ON_CIFAR)
def test_a_run_on_cifar_has_the_published_settings(name):
    config = load(f"{name}_CIFAR")
    schedule = build.build_schedule(config, Timetable.uniform(240, 3))
    assert [schedule(3 * epoch) for epoch in (0, 149, 150, 180, 210, 239)] == pytest.approx(
        [0.05, 0.05, 0.005, 5e-4, 5e-5, 5e-5])
    optimizer = config.section("Optimizer")
    assert (optimizer["name"], optimizer["momentum"], optimizer["regularizer"]["coeff"]) == ("Momentum", 0.9, 5e-4)
    assert config.section("Global")["epochs"] == 240 and config.data["DataLoader"]["Train"]["sampler"]["batch_size"] == 64
    assert operators(config, "Train")["RandomCropImage"] == {"size": 32, "padding": 4}
    student = {"name": "SmallResNet", "class_num": 100, "depth": 56 if name == "teacher" else 20, "width": 16}
    assert config.section("Arch")["student"] == student
    if name in METHODS:
        teacher = config.section("Arch")["teacher"]
        assert teacher == {**student, "depth": 56, "pretrained": "runs/VanillaKD/teacher_CIFAR/latest"}
    assert f"published top-1 {ON_CIFAR[name]} %" in (CONFIGS / "VanillaKD" / f"{name}_CIFAR.yaml").read_text()
    assert f" {ON_CIFAR[name]} |" in (CONFIGS / "README.md").read_text()


def test_weights_on_cifar_are_those_of_the_published_tables():
    weights = {name: [(type(term.method).__name__, term.weight) for term in build.build_terms(load(f"{name}_CIFAR"))]
               for name in METHODS if name in ON_CIFAR}
    assert weights["kd"] == [("CELoss", 0.1), ("KDLoss", 0.9)]
    assert weights["crd"] == [("CELoss", 1.0), ("CRDLoss", 0.8)] and weights["review"][1] == ("ReviewKDLoss", 5.0)
    for name in ("kd", "dkd"):
        assert build.build_terms(load(f"{name}_CIFAR"))[1].method.temperature == 4.0


def small_run(name, folder, small_lists):
    """Five classes, small pictures, batches of 4, light networks of the same family with random weights."""
    config = load(name)
    on_cifar = name.endswith("_CIFAR")
    size = 32 if on_cifar else 64
    overrides = {"Arch.student.class_num": 5, "Global.epochs": 1, "Global.output_dir": folder / "run",
                 "Global.iter_per_epoch": 2}
    light = "ResNet18" if name == "review_A2" else "SmallResNet"            # review reads four stages
    if not on_cifar:
        overrides.update({"Arch.student.name": light, "Optimizer.lr.warmup_epoch": 0})
    else:
        overrides.update({"Arch.student.depth": 8, "Optimizer.lr": "{name: ConstLR, learning_rate: 0.05}"})
    if config.section("Arch").get("teacher"):
        save_weights(build_network(light, 5), folder / "teacher.pdparams")
        overrides["Arch.teacher"] = f"{{name: {light}, class_num: 5, engine: eager, pretrained: {folder}/teacher.pdparams}}"
    overrides.update(small_lists(config, folder, size, 256))
    return load(name, *(f"{key}={value}" for key, value in overrides.items()))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] if name == "review_A2" else [])
                                  for name in [*ON_A2, *(f"{name}_CIFAR" for name in ON_CIFAR)]])
def test_the_student_trains_two_steps_and_the_checkpoint_holds_the_student_alone(name, tmp_path, small_lists):
    trainer = build.build_trainer(small_run(name, tmp_path, small_lists))
    student = trainer.model.student
    before = {key: tensor.numpy().copy() for key, tensor in student.state_dict().items()}
    if not name.endswith("_CIFAR"):
        silent = [key for key, value in before.items() if key.endswith("weight") and not value.any()]
        assert len(silent) == len(residual._branches(student)) > 0
    trainer.evaluate = None
    folder = trainer.fit()
    still = {key for key, tensor in student.state_dict().items()
             if np.array_equal(tensor.numpy(), before[key]) and before[key].ndim > 1}
    # behind a batch norm of scale 0 the first gradient is 0; the second step moves the weights
    assert not still
    assert set(read_state(folder)) == set(before)


def test_students_side_by_side_have_the_settings_of_the_single_runs():
    runs = students_of(load("students_CIFAR"))
    assert list(runs) == ["kd", "dkd", "dist"]
    for name, alone in runs.items():
        single = load(f"{name}_CIFAR").data
        single["Global"]["output_dir"] = f"runs/VanillaKD/students_CIFAR/{name}"
        found, expected = ([(type(term.method), vars(term.method).get("temperature"), term.weight, term.warmup_by_epoch)
                            for term in build.build_terms(config)] for config in (alone, Config(single)))
        assert found == expected
        assert {**alone.data, "Loss": None} == {**single, "Loss": None}
