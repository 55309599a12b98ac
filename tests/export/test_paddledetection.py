"""PaddleDetection itself finds every tensor of an exported pair, and trains with its multipliers.

It needs an environment of its own: PaddleDetection 2.6.0 asks for older packages than this project has. SSLD_PPDET_PYTHON names
its interpreter, if there is one; otherwise one is made with venv and pip in SSLD_PPDET_CACHE, or ~/.cache/ssld/paddledetection.
"""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from ssld.export.student import Student, export_for_transfer

pytestmark = pytest.mark.slow
CHECK = Path(__file__).with_name("paddledetection_check.py")
PACKAGES = ["paddlepaddle==3.3.1", "numpy==1.24.4", "opencv-python==4.6.0.66", "pycocotools", "shapely", "terminaltables",
            "typeguard", "scipy", "matplotlib", "pandas", "scikit-learn", "PyYAML", "tqdm", "requests", "six"]
NO_NETWORK = re.compile("connection|resolve|timed out|no matching distribution", re.IGNORECASE)
# backbone -> tensors there
BACKBONES = {"ResNet18": 105, "ResNet34": 185, "ResNet50": 265, "ResNet101": 520, "ResNet18_vd": 115, "ResNet34_vd": 195,
             "ResNet50_vd": 275, "ResNet101_vd": 530, "MobileNetV3_large_x1_0": 262, "MobileNetV3_small_x1_0": 206,
             "MobileNetV3_small_x0_35": 206, "MobileNetV3_large_x0_75": 262}
SEEN = [{"Decode": {}}, {"NormalizeImage": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "is_scale": True}},
        {"Permute": {}}]
# Faster R-CNN with FPN, small in what it draws
DETECTOR = {
    "architecture": "FasterRCNN", "use_gpu": False, "worker_num": 0, "epoch": 1, "snapshot_epoch": 1, "log_iter": 1,
    "metric": "COCO", "num_classes": 3, "save_dir": "output",
    "FasterRCNN": {"backbone": "ResNet", "neck": "FPN", "rpn_head": "RPNHead", "bbox_head": "BBoxHead",
                   "bbox_post_process": "BBoxPostProcess"},
    "FPN": {"out_channel": 64},
    "RPNHead": {
        "anchor_generator": {"aspect_ratios": [0.5, 1.0, 2.0], "anchor_sizes": [[16], [32], [64], [128], [256]],
                             "strides": [4, 8, 16, 32, 64]},
        "rpn_target_assign": {"batch_size_per_im": 64, "fg_fraction": 0.5, "negative_overlap": 0.3, "positive_overlap": 0.7,
                              "use_random": False},
        "train_proposal": {"min_size": 0.0, "nms_thresh": 0.7, "pre_nms_top_n": 200, "post_nms_top_n": 50,
                           "topk_after_collect": True},
        "test_proposal": {"min_size": 0.0, "nms_thresh": 0.7, "pre_nms_top_n": 200, "post_nms_top_n": 50}},
    "BBoxHead": {"head": "TwoFCHead", "roi_extractor": {"resolution": 7, "sampling_ratio": 0, "aligned": True},
                 "bbox_assigner": "BBoxAssigner"},
    "BBoxAssigner": {"batch_size_per_im": 32, "bg_thresh": 0.5, "fg_thresh": 0.5, "fg_fraction": 0.25, "use_random": False},
    "TwoFCHead": {"out_channel": 64},
    "BBoxPostProcess": {"decode": "RCNNBox", "nms": {"name": "MultiClassNMS", "keep_top_k": 10, "score_threshold": 0.05,
                                                     "nms_threshold": 0.5}},
    "LearningRate": {"base_lr": 0.0005, "schedulers": [{"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [8],
                                                      "use_warmup": False}]},
    "TrainReader": {"sample_transforms": SEEN, "batch_transforms": [{"PadBatch": {"pad_to_stride": 32}}], "batch_size": 2,
                    "shuffle": False, "drop_last": True, "collate_batch": False},
    "TestReader": {"sample_transforms": SEEN},
}
# so that a movement is rate x multiplier x gradient
WITHOUT_MEMORY = {"optimizer": {"type": "Momentum", "momentum": 0.0}, "regularizer": None}


@pytest.fixture(scope="module")
def interpreter():
    """The Python of an environment with PaddleDetection 2.6.0."""
    given = os.environ.get("SSLD_PPDET_PYTHON")
    if given:
        return given
    folder = Path(os.environ.get("SSLD_PPDET_CACHE", Path.home() / ".cache" / "ssld" / "paddledetection"))
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        for packages in (PACKAGES, ["--no-deps", "paddledet==2.6.0"]):
            done = subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], capture_output=True, text=True,
                                  check=False)
            if done.returncode and NO_NETWORK.search(done.stderr):
                pytest.skip(f"PaddleDetection cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
            assert done.returncode == 0, done.stderr
        (folder / "complete").touch()
    return str(python)


def ask(interpreter, *arguments):
    """What the check says of these arguments."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([interpreter, str(CHECK), *map(str, arguments)], capture_output=True, text=True, env=environment,
                          check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def exported(network_of, name, folder):
    """Export a network whose running statistics are those of a batch, so that its maps and gradients are of ordinary size."""
    network = network_of(name, 3)
    for layer in network.sublayers():
        if hasattr(layer, "_variance"):
            layer._momentum = 0.0               # running = 0 * running + 1 * batch
    network.train()
    network(paddle.randn([4, 3, 64, 64]))
    network.eval()
    export_for_transfer(Student(network, {"name": name, "class_num": 3}), folder, ["paddleclas", "paddledetection"])
    return network


def write_expected(network, folder):
    """An image, and the last map before pooling."""
    image = np.random.default_rng(1).standard_normal((1, 3, 64, 64)).astype(np.float32)
    last, kept = network.blocks[-1], []
    hook = last.register_forward_post_hook(lambda layer, inputs, output: kept.append(output))
    with paddle.no_grad():
        network(paddle.to_tensor(image))
    hook.remove()
    np.savez(folder / "image.npz", image=image, last=kept[0].numpy())


def test_every_backbone_is_found_whole_and_computes_the_same_map(interpreter, network_of, tmp_path):
    for name in BACKBONES:
        write_expected(exported(network_of, name, tmp_path / name), tmp_path / name)
    found = ask(interpreter, "names", *(tmp_path / name for name in BACKBONES))
    for name, count in BACKBONES.items():
        facts = found[str(tmp_path / name)]
        assert facts["tensors"] == facts["in_file"] == facts["fitting"] == count, name
        assert facts["maps"] == 4 and facts["same"] and facts["difference"] == 0, (name, facts)     # nan for a map of zeros


def write_coco(folder):
    """Four pictures of coloured boxes, in COCO's format."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images, boxes = [], []
    for place in range(4):
        pixels = rng.integers(0, 60, (96, 128, 3), np.uint8)
        for kind, (x, y, width, height) in enumerate([(8, 10, 40, 50), (60, 30, 50, 40)]):
            pixels[y:y + height, x + place:x + place + width, kind] += 150
            boxes.append({"id": len(boxes) + 1, "image_id": place + 1, "category_id": kind + 1, "iscrowd": 0,
                          "bbox": [x + place, y, width, height], "area": width * height})
        Image.fromarray(pixels).save(folder / "images" / f"{place}.png")
        images.append({"id": place + 1, "file_name": f"{place}.png", "width": 128, "height": 96})
    categories = [{"id": kind + 1, "name": name} for kind, name in enumerate(("red", "green", "blue"))]
    (folder / "boxes.json").write_text(json.dumps({"images": images, "annotations": boxes, "categories": categories}))


def write_config(folder, home):
    """A detector whose last base is the exported fragment, and on top of it an optimizer without memory."""
    dataset = {"image_dir": "images", "anno_path": "boxes.json", "dataset_dir": str(folder / "coco")}
    train = "!COCODataSet {data_fields: [image, gt_bbox, gt_class, is_crowd], " + ", ".join(
        f"{key}: {value}" for key, value in dataset.items()) + "}"
    (folder / "detector.yml").write_text(yaml.safe_dump(json.loads(json.dumps(DETECTOR))) + f"TrainDataset: {train}\n")
    (folder / "main.yml").write_text(yaml.safe_dump({"_BASE_": ["detector.yml", str(home / "paddledetection.yml")],
                                                     "OptimizerBuilder": WITHOUT_MEMORY}))
    return folder / "main.yml"


def test_a_detector_finds_all_tensors_and_trains_with_the_multipliers(interpreter, network_of, tmp_path):
    home = tmp_path / "exported"
    exported(network_of, "ResNet50_vd", home)
    write_coco(tmp_path / "coco")
    found = ask(interpreter, "train", write_config(tmp_path, home), home / "student.pdparams")
    assert (found["found"], found["backbone"], found["loaded"]) == (275, 275, 275)
    assert found["raw"] == 0                    # without other names nothing would be found, and the detector would not say so
    assert found["multipliers"] == [0.05, 0.05, 0.1, 0.15] and found["trainable"] == 42 and found["optimizer"] == "Momentum"
    assert len(found["losses"]) == 2 and 0 < found["losses"][1] < 2 * found["losses"][0]
    moved = found["moved"]
    assert {part: moved[part]["tensors"] for part in ("res3", "res4", "res5")} == {"res3": 13, "res4": 19, "res5": 10}
    assert set(moved) == {"res3", "res4", "res5", "head"}           # freeze_at: 0 keeps the stem and res2 as they are
    for part, entry in moved.items():
        assert entry["to_gradient"] <= 1 and entry["to_ones"] <= 1, (part, entry)
        assert entry["measured"] > entry["tensors"] / 2, (part, entry)
        assert entry["ratios"] == pytest.approx([entry["factor"]] * 2, rel=1e-4), (part, entry)
