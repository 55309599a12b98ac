"""ScaleKD's recipes have the recovered settings."""
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ssld import build
from ssld.build_description import build_description
from ssld.config import Config
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.timetable import Timetable

CONFIGS = Path(__file__).parents[2] / "configs" / "Distillation"
SWIN = "SwinTransformer_{}_patch4_window7_224"
TEACHERS = {"SwinL": SWIN.format("large"), "SwinB": SWIN.format("base"), "SwinS": SWIN.format("small"),
            "BEiTL": "BEiT_large_patch14"}
STUDENTS = {"SwinTransformer_tiny": SWIN.format("tiny")}
BY_STAGE, BY_BLOCK = ("stage3", "stage4"), ("blocks.8", "norm")
# heads, scale, norm, direct, alternative, taps: read in the released code
PAIRS = {
    "MobileNetV1_SwinL": ((16, 24), 5, "bn", 0.08, 0.06, ("stage4", "stage5")),
    "ResNet50_SwinL": ((16, 24), 5, "bn", 0.08, 0.06, BY_STAGE),
    "ConvNeXt_tiny_SwinL": ((8, 16), 1, "bn", 0.08, 0.06, ("stages.2", "stages.3")),
    "SwinTransformer_tiny_SwinL": ((24, 48), 1, "ln", 0.08, 0.06, ("layers.2.blocks.5", "norm")),
    "Mixer_S_16_SwinL": ((8, 8), 5, "bn", 0.08, 0.06, ("blocks.5", "blocks.7")),
    "Mixer_B_16_SwinL": ((8, 8), 5, "bn", 0.08, 0.06, ("blocks.9", "blocks.11")),
    "ViT_S_16_SwinL": ((8, 8), 5, "bn", 0.08, 0.06, BY_BLOCK), "ViT_B_16_SwinL": ((8, 8), 5, "bn", 0.08, 0.06, BY_BLOCK),
    "ResNet50_SwinB_100e": ((8, 16), 5, "bn", 0.08, 0.06, BY_STAGE),
    "ResNet50_SwinS_100e": ((3, 6), 5, "bn", 0.08, [0.06, 0.0], BY_STAGE),
    "ResNet50_BEiTL": ((8, 8), 0.2, "bn", 0.016, 0.008, BY_STAGE), "ViT_B_14_BEiTL": ((8, 8), 1, "bn", 0.016, 0.008, BY_BLOCK),
    "Mixer_B_14_BEiTL": ((8, 8), 1, "bn", 0.016, 0.008, ("blocks.9", "blocks.11")),
}
PAIRS.update({"ResNet50_SwinL_100e": PAIRS["ResNet50_SwinL"], "ResNet50_vd_SwinL": PAIRS["ResNet50_SwinL"],
              "ResNet50_SwinL_600e": PAIRS["ResNet50_SwinL"], "MobileNetV1_SwinL_100e": PAIRS["MobileNetV1_SwinL"]})
# optimizer, total batch, rate, decay, warm-up in epochs, its first share of the rate, least rate, clip, averaged, drop path
LAMB, ADAMW = ("Lamb", 2048), ("AdamW", 1024)
ADVANCED = {
    "ResNet50": (*LAMB, 5e-3, 0.02, 5, 0.25, 0, 1.0, False, 0), "MobileNetV1": (*LAMB, 2e-3, 0.004, 5, 0.25, 0, 1.0, False, 0),
    "ConvNeXt_tiny": (*ADAMW, 1e-3, 0.05, 20, 1e-3, 1e-5, None, True, 0.1),
    "SwinTransformer_tiny": (*ADAMW, 1e-3, 0.05, 20, 1e-3, 1e-5, 5.0, True, 0.05),
    "ViT_S_16": (*ADAMW, 1e-3, 0.05, 20, 1e-3, 1e-5, 5.0, True, 0),
    "ViT_B_16": (*ADAMW, 1e-3, 0.05, 20, 1e-3, 1e-5, 5.0, True, 0),
    "Mixer_S_16": ("AdamW", 1536, 7e-4, 0.067, 20, 1e-6, 0, 1.0, True, 0),
    "Mixer_B_16": ("AdamW", 1536, 7e-4, 0.067, 20, 1e-6, 0, 1.0, False, 0.1),
}
ADVANCED.update({"ResNet50_vd": ADVANCED["ResNet50"], "ViT_B_14": ADVANCED["ViT_B_16"], "Mixer_B_14": ADVANCED["Mixer_B_16"]})
LONG = sorted(name for name in PAIRS if not name.endswith("_100e"))
SHORT = sorted(set(PAIRS) - set(LONG))
ACCURACY = {"MobileNetV1_SwinL": "75.15", "ResNet50_SwinL": "82.03", "ResNet50_SwinL_600e": "82.55",
            "ConvNeXt_tiny_SwinL": "84.16", "Mixer_S_16_SwinL": "78.63", "Mixer_B_16_SwinL": "81.96", "ViT_S_16_SwinL": "83.93",
            "ViT_B_16_SwinL": "85.53", "SwinTransformer_tiny_SwinL": "83.80", "ResNet50_BEiTL": "82.34",
            "Mixer_B_14_BEiTL": "82.89", "ViT_B_14_BEiTL": "86.43"}
# millions of parameters of the projectors of both stages, and multiply-adds of these and of the tail in billions
COST = {"MobileNetV1_SwinL": (19.79, 77.21, 7.69, 6.04), "ResNet50_SwinL": (35.72, 140.24, 13.85, 6.04),
        "ConvNeXt_tiny_SwinL": (17.28, 67.36, 6.72, 6.04), "SwinTransformer_tiny_SwinL": (17.28, 67.36, 6.72, 6.04),
        "Mixer_S_16_SwinL": (19.79, 60.01, 8.04, 6.04), "Mixer_B_16_SwinL": (26.58, 67.58, 10.81, 6.04),
        "ViT_B_16_SwinL": (26.58, 67.58, 10.81, 6.04), "ViT_S_16_SwinL": (17.28, 57.11, 7.00, 6.04)}


def load(name, *overrides):
    return Config.load(CONFIGS / "ScaleKD" / f"{name}.yaml", overrides)


def student_of(name):
    return name.replace("_100e", "").replace("_600e", "").rsplit("_", 1)[0]


def operators(config, mode):
    ops = config.data["DataLoader"][mode]["dataset"]["transform_ops"]
    return {name: options for op in ops for name, options in (op.items() if isinstance(op, dict) else [(op, {})])}


def terms_of(name):
    return {term: options for entry in load(name).section("Loss")["Train"] for term, options in entry.items()}


def test_the_folder_holds_these_runs_and_no_others():
    assert {file.stem for file in (CONFIGS / "ScaleKD").glob("*.yaml")} == set(PAIRS)
    for name in PAIRS:
        assert load(name).section("Global")["output_dir"] == f"runs/ScaleKD/{name}"


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_a_pair_has_its_networks_and_the_settings_of_its_loss(name):
    config, found = load(name), terms_of(name)["ScaleKDLoss"]
    student, teacher = student_of(name), name.replace("_100e", "").replace("_600e", "").rsplit("_", 1)[1]
    assert config.section("Arch")["student"]["name"] == STUDENTS.get(student, student)
    assert config.section("Arch")["teacher"]["name"] == TEACHERS[teacher]
    heads, scale, norm, direct, alternative, taps = PAIRS[name]
    assert (tuple(found["heads"]), found["softmax_scale"], found["norm"]) == (heads, scale, norm)
    assert (found["direct"], found["alternative"], tuple(found["student_taps"])) == (direct, alternative, taps)
    assert found["weight"] == 1.0 and found.get("query") == ("own" if teacher == "SwinS" else None)
    build.build_terms(config)                                   # every option exists


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_labels_and_logits_have_half_of_the_weight_each(name):
    found, student = terms_of(name), student_of(name)
    if name == "ResNet50_SwinS_100e":
        assert found["CELoss"] == {"weight": 1.0} and "SoftCELoss" not in found
        return
    assert found["SoftCELoss"] == {"weight": 0.5}
    if student.startswith("ResNet") and name in LONG:           # summed over the classes, not averaged
        assert found["BCELoss"] == {"weight": 0.5, "reduction": "sum"}
    else:
        plain = student.startswith(("ResNet", "Mixer"))
        assert found["CELoss"] == {"weight": 0.5, **({} if plain else {"epsilon": 0.1})}


@pytest.mark.parametrize("name", LONG)
def test_the_advanced_strategy_has_its_optimizer(name):
    config, student = load(name), student_of(name)
    kind, batch, rate, decay, warmup, share, least, clip, averaged, drop_path = ADVANCED[student]
    optimizer, sampler = config.section("Optimizer"), config.data["DataLoader"]["Train"]["sampler"]
    assert (optimizer["name"], optimizer["weight_decay"], optimizer.get("clip_norm")) == (kind, decay, clip)
    assert config.section("EMA") == ({"decay": 0.9999} if averaged else {}) and not config.section("AMP")
    assert config.section("Arch")["student"].get("drop_path", 0) == drop_path
    assert sampler["batch_size"] * 32 == batch == optimizer["lr"]["total_batch"]
    epochs = 600 if name.endswith("600e") else 300
    assert config.section("Global")["epochs"] == epochs and config.section("Global")["eval_during_train"] is False
    schedule = build.build_schedule(config, Timetable.uniform(epochs, 4))
    assert schedule(0) == pytest.approx(share * rate, rel=1e-6) and schedule(warmup * 4) == rate
    assert schedule(2 * warmup) == pytest.approx((1 + share) / 2 * rate, rel=1e-6)
    assert schedule(epochs * 4) == pytest.approx(least, abs=1e-15) and schedule.mismatch(batch) is None


@pytest.mark.parametrize("name", LONG)
def test_who_does_not_decay(name):
    optimizer, student = load(name).section("Optimizer"), student_of(name)
    names, one_dim = optimizer.get("no_weight_decay_name", ""), optimizer.get("one_dim_param_no_weight_decay", False)
    if student.startswith(("ResNet", "MobileNet")):
        assert (names, one_dim) == ("", False)
    elif student.startswith("Mixer"):
        assert (names, one_dim) == (".cls_token .pos_embed", False)
    else:
        positions = " .cls_token .pos_embed" if student.startswith("ViT") else ""
        assert (names, one_dim) == (f"relative_position_bias_table{positions}", True)


@pytest.mark.parametrize("name", LONG)
def test_images_are_augmented_as_the_advanced_strategy_says(name):
    ops, student = operators(load(name), "Train"), student_of(name)
    level, strongest = next(value for start, value in {"ResNet": (7, 8), "MobileNet": (7, 8), "Mixer": (12, 15),
                                                       "": (9, 10)}.items() if student.startswith(start))
    augment = ops["RandAugment"]
    assert (augment["magnitude"], augment["strongest"], augment["num_layers"]) == (level, strongest, 2)
    assert (augment["magnitude_std"], augment["increasing"]) == (0.5, True)
    assert ops["RandomResizedCrop"]["interpolation"] == "bicubic"
    assert ("RandomErasing" in ops) == (student != "MobileNetV1")
    if "RandomErasing" in ops:
        assert ops["RandomErasing"]["prob"] == 0.25 and ops["RandomErasing"]["scale"] == pytest.approx([0.02, 1 / 3])
        assert list(ops).index("RandomErasing") == list(ops).index("NormalizeImage") - 1
    assert "batch_transform_ops" not in load(name).data["DataLoader"]["Train"]["dataset"]
    short = operators(load(name), "Eval")["ResizeImage"]
    assert (short["resize_short"], short["interpolation"]) == (224 if student.startswith("ViT_B") else 256, "bicubic")


@pytest.mark.parametrize("name", SHORT)
def test_the_traditional_strategy_has_its_rates_and_no_augmentation(name):
    config = load(name)
    optimizer, epochs = config.section("Optimizer"), config.section("Global")["epochs"]
    assert (optimizer["name"], optimizer["momentum"], optimizer["regularizer"]["coeff"], epochs) == ("Momentum", 0.9, 1e-4, 100)
    assert config.data["DataLoader"]["Train"]["sampler"]["batch_size"] * 8 == 256 == optimizer["lr"]["total_batch"]
    ops = operators(config, "Train")
    assert list(ops) == ["DecodeImage", "RandomResizedCrop", "RandFlipImage", "NormalizeImage", "ToCHWImage"]
    assert ops["RandomResizedCrop"]["interpolation"] == "bilinear" and not config.section("EMA")
    schedule = build.build_schedule(config, Timetable.uniform(100, 3))
    if student_of(name) == "ResNet50":
        assert [schedule(3 * epoch) for epoch in (0, 29, 30, 60, 90, 99)] == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])
    else:
        assert schedule(0) == schedule(2) == 0.1 and schedule(150) == pytest.approx(0.05)


def test_the_readme_and_each_file_show_the_published_accuracy():
    for name, top1 in ACCURACY.items():
        text = re.sub(r"\s+#?\s*", " ", (CONFIGS / "ScaleKD" / f"{name}.yaml").read_text())
        assert f"ublished top-1 {top1} %" in text
        assert f" {top1} |" in (CONFIGS / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COST))
def test_what_trains_along_is_as_large_as_the_formulas_say(name):
    """Within 1 %; heavy: both networks are built and see one image."""
    parts = {part.name: part for part in build_description(load(name)).parts if part.role == "ScaleKDLoss"}
    third, fourth, projectors, tail = COST[name]
    assert parts["cap_s3"].parameters / 1e6 == pytest.approx(third, rel=0.01)
    assert parts["cap_s4"].parameters / 1e6 == pytest.approx(fourth, rel=0.01)
    assert (parts["cap_s3"].multiply_adds + parts["cap_s4"].multiply_adds) / 1e9 == pytest.approx(projectors, rel=0.01)
    assert parts["tpp"].multiply_adds / 1e9 == pytest.approx(tail, rel=0.01)


def small_run(name, folder, small_lists):
    """Five classes, pictures of 64 pixels, batches of 4, a small Swin teacher with random weights, a small student."""
    config = load(name)
    loss = next(place for place, term in enumerate(config.section("Loss")["Train"]) if "ScaleKDLoss" in term)
    method = f"Loss.Train.{loss}.ScaleKDLoss"
    save_weights(build_network("SmallSwin", 5, width=8), folder / "teacher.pdparams")
    teacher = f"{{name: SmallSwin, class_num: 5, width: 8, engine: eager, pretrained: {folder}/teacher.pdparams}}"
    overrides = {"Arch.student": "{name: SmallResNet, class_num: 5, stem_stride: 2}", "Arch.teacher": teacher,
                 "Global.epochs": 1, "Global.iter_per_epoch": 2, "Global.output_dir": folder / "run",
                 f"{method}.heads": "[2, 4]", f"{method}.student_taps": "[stage2, stage3]"}
    if name in LONG:
        overrides["Optimizer.lr.warmup_epoch"] = 0
    overrides.update(small_lists(config, folder, 64))
    return load(name, *(f"{key}={value}" for key, value in overrides.items()))


@pytest.mark.parametrize("name", ["ResNet50_SwinL", "ResNet50_SwinS_100e", "SwinTransformer_tiny_SwinL", "Mixer_S_16_SwinL"])
def test_a_small_student_of_a_small_swin_trains_two_steps_and_is_saved_alone(name, tmp_path, small_lists):
    trainer = build.build_trainer(small_run(name, tmp_path, small_lists))
    student = trainer.model.student
    before = {key: tensor.numpy().copy() for key, tensor in student.state_dict().items()}
    teacher = {key: tensor.numpy().copy() for key, tensor in trainer.model.teacher.network.state_dict().items()}
    trainer.evaluate = None
    saved = read_state(trainer.fit())
    assert set(saved) == set(before) and all(np.isfinite(value).all() for value in saved.values())
    assert all((student.state_dict()[key].numpy() != value).any() for key, value in before.items() if value.ndim > 1)
    for key, tensor in trainer.model.teacher.network.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), teacher[key], err_msg=key)
