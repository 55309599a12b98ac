"""List -> teacher -> expand -> distill -> finetune -> fixres -> export, by the commands that a user types."""
import json

import cv2
import numpy as np
import pytest
import yaml

from ssld.cli import main
from ssld.models.weights import read_state

STUDENT = {"name": "ShuffleNetV2_x0_25", "class_num": 3}
TEACHER = {"name": "SmallResNet", "class_num": 3, "width": 4}


def transforms(size):
    return ["DecodeImage", {"ResizeImage": {"resize_short": size}}, {"CropImage": {"size": size}}, "NormalizeImage",
            "ToCHWImage"]


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    """Walks the road once in a folder of its own; returns the folder."""
    folder = tmp_path_factory.mktemp("road")
    write_pictures(folder)
    write_configs(folder)
    for command, name, *more in [
            ("train", "teacher"), ("expand", "expand"), ("train", "distill"), ("train", "finetune"), ("train", "fixres"),
            ("export", "fixres", "--out", str(folder / "exported"), "--weights", str(folder / "fixres" / "latest"))]:
        assert main([command, "-c", str(folder / f"{name}.yaml"), *more]) == 0, (command, name)
    return folder


def write_pictures(folder):
    """Three classes of smooth noise in different colours; every fourth picture of the pool copies an evaluation one."""
    rng = np.random.default_rng(0)
    for name, count in (("val", 9), ("train", 12), ("pool", 18)):
        lines = []
        for i in range(count):
            coarse = rng.random((16, 16, 3)).astype(np.float32) * 0.6
            coarse[..., i % 3] += 0.4
            pixels = (cv2.resize(coarse, (64, 64), interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)
            if name == "pool" and i % 4 == 0:
                pixels = cv2.flip(cv2.imread(str(folder / f"val{i // 4}.png")), 1)
            cv2.imwrite(str(folder / f"{name}{i}.png"), pixels)
            lines.append(f"{name}{i}.png\n" if name == "pool" else f"{name}{i}.png {i % 3}\n")
        (folder / f"{name}.txt").write_text("".join(lines))


def write_configs(folder):
    def dataset(file, size):
        return {"dataset": {"image_root": str(folder), "cls_label_path": str(file), "transform_ops": transforms(size)},
                "sampler": {"batch_size": 6}}

    def run(name, student, loss, train="train.txt", size=32, **more):
        data = {"Global": {"output_dir": str(folder / name), "device": "cpu", "epochs": 1, **more.pop("Global", {})},
                "Arch": {"student": student, **more}, "Loss": {"Train": [{loss: {"weight": 1.0}}]},
                "Optimizer": {"lr": {"learning_rate": 0.01}},
                "DataLoader": {"Train": dataset(folder / train, size), "Eval": dataset(folder / "val.txt", size)}}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(data))

    teacher = {**TEACHER, "pretrained": str(folder / "teacher" / "latest")}
    run("teacher", TEACHER, "CELoss")
    run("distill", STUDENT, "JSDivLoss", "expand/train_list.txt", teacher=teacher)
    run("finetune", {**STUDENT, "pretrained": str(folder / "distill" / "latest")}, "JSDivLoss", teacher=teacher)
    run("fixres", {**STUDENT, "pretrained": str(folder / "finetune" / "latest"), "trainable": ["classifier"]}, "CELoss",
        size=64, Global={"fix_resolution": True})
    lists = {"pool": "pool.txt", "evaluation": "val.txt", "labelled": "train.txt"}
    (folder / "expand.yaml").write_text(yaml.safe_dump({
        "Global": {"output_dir": str(folder / "expand"), "device": "cpu"}, "Arch": {"teacher": teacher},
        "Lists": {name: {"cls_label_path": str(folder / file)} for name, file in lists.items()},
        "Score": {"transform_ops": transforms(32)}, "Select": {"name": "top_k", "k": 3}}))


def student_of(road, run):
    return read_state(road / run / "latest")


def test_copies_of_evaluation_images_are_not_trained_on(road):
    pool = json.loads((road / "expand" / "report.json").read_text())["pool"]
    assert pool["duplicate"] == 5
    train = (road / "expand" / "train_list.txt").read_text()
    assert not any(f"pool{i}.png" in train for i in range(0, 18, 4))


def test_each_stage_begins_with_the_weights_of_the_one_before(road):
    distilled, tuned = student_of(road, "distill"), student_of(road, "finetune")
    assert distilled.keys() == tuned.keys()
    assert any((distilled[name] != tuned[name]).any() for name in distilled)
    relative = np.mean([np.abs(distilled[n] - tuned[n]).mean() / (np.abs(distilled[n]).mean() + 1e-6)
                        for n in distilled if n.endswith("weight")])
    assert relative < 0.5           # far from another random initialisation, whose mean difference exceeds 1


def test_the_fix_stage_moves_the_classifier_and_nothing_else_by_a_single_bit(road):
    before, after = student_of(road, "finetune"), student_of(road, "fixres")
    changed = {name for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"_fc.weight", "_fc.bias"}


def test_the_exported_student_is_the_fixed_one(road):
    exported, fixed = read_state(road / "exported" / "student"), student_of(road, "fixres")
    assert all((exported[name] == fixed[name]).all() for name in fixed) and exported.keys() == fixed.keys()
    card = json.loads((road / "exported" / "card.json").read_text())
    last = [json.loads(line) for line in (road / "fixres" / "log.jsonl").read_text().splitlines()]
    logged = next(event for event in reversed(last) if event["event"] == "eval")
    assert card["accuracy"]["inference"]["accuracy"]["top1"] == pytest.approx(logged["top1"]) and card["input"] == [3, 64, 64]


def test_the_same_commands_again_change_nothing(road):
    before = (road / "distill" / "latest" / "student.pdparams").read_bytes()
    assert main(["train", "-c", str(road / "distill.yaml")]) == 0
    assert main(["expand", "-c", str(road / "expand.yaml")]) == 0
    assert (road / "distill" / "latest" / "student.pdparams").read_bytes() == before


@pytest.mark.slow
def test_the_demo_walks_its_whole_road(tmp_path, capsys):
    pytest.importorskip("skimage")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    printed = capsys.readouterr().out
    assert "supervised" in printed and (tmp_path / "demo" / "report.html").stat().st_size > 100_000
