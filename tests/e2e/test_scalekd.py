"""ScaleKD from the command line: a small Swin Transformer teaches, the student leaves alone."""
from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

from ssld.cli import main
from ssld.config import Config
from ssld.models.weights import load_weights, read_state, save_weights
from ssld.models.zoo import build_network
from ssld.teachers.onednn import OneDNNProgram
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.runlog import read_events

CONFIG = Path(__file__).parents[2] / "configs" / "Distillation" / "tiny" / "scalekd.yaml"
TWO_STEPS = ["Global.epochs=1", "Global.iter_per_epoch=2", "Global.print_batch_step=1", "DataLoader.Train.sampler.batch_size=4",
             "Optimizer.lr.warmup_epoch=0"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder where `ssld train -c configs/Distillation/tiny/scalekd.yaml` did two steps, what it said, and the teacher."""
    folder = tmp_path_factory.mktemp("scalekd")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_lists(Config.load(CONFIG))
        teacher = Config.load(CONFIG).section("Arch")["teacher"]
        paddle.seed(0)
        Path(teacher["pretrained"]).mkdir(parents=True)
        save_weights(build_network("SmallSwin", 14, img_size=64), Path(teacher["pretrained"]) / "student.pdparams")
        before = read_state(Path(teacher["pretrained"]) / "student.pdparams")
        assert main(["train", "-c", str(CONFIG), *(part for setting in TWO_STEPS for part in ("-o", setting))]) in (0, None)
    return folder, before


def write_lists(config) -> None:
    for mode, loader in config.section("DataLoader").items():
        dataset = loader["dataset"]
        root, listed = Path(dataset["image_root"]), Path(dataset["cls_label_path"])
        root.mkdir(parents=True, exist_ok=True)
        names = []
        for place in range(8):
            pixels = np.random.default_rng([place, len(mode)]).integers(0, 256, (80, 80, 3), np.uint8)
            Image.fromarray(pixels).save(root / f"{mode}{place}.jpg")
            names.append(f"{mode}{place}.jpg {place}\n")
        listed.write_text("".join(names))


def test_two_steps_log_every_part(run):
    events = [event for event in read_events(run[0] / "demo_output/runs/scalekd") if event["event"] == "train"]
    assert [event["step"] for event in events] == [1, 2]
    expected = {"CELoss", "KDLoss", "ScaleKDLoss", *(f"ScaleKDLoss/{stage}_{view}" for stage in ("s3", "s4")
                                                     for view in ("direct", "alt"))}
    assert set(events[0]["parts"]) == expected and all(np.isfinite(value) for value in events[1]["parts"].values())


def test_the_checkpoint_holds_projectors_and_no_teacher(run):
    checkpoint = latest_checkpoint(run[0] / "demo_output/runs/scalekd")
    names = [name for name in checkpoint.training_state() if name.startswith("model/")]
    assert any(".projectors.s4_alt.query" in name or ".projectors.s4_alt.to_query.weight" in name for name in names)
    assert {name.split("/")[1].split(".")[0] for name in names} == {"student", "methods"}
    assert not any(".layers." in name for name in names)


def test_the_exported_student_is_the_bare_network_and_equals_the_students_logits(run, monkeypatch):
    monkeypatch.chdir(run[0])
    assert main(["export", "-c", str(CONFIG), "--out", "exported"]) in (0, None)
    network = build_network("ShuffleNetV2_x0_25", 14)
    state, kept = read_state("exported/student.pdparams"), latest_checkpoint("demo_output/runs/scalekd").training_state()
    assert set(state) == set(network.state_dict())
    for name, value in state.items():
        np.testing.assert_array_equal(np.asarray(value), kept[f"model/student.{name}"], err_msg=name)
    load_weights(network, "exported/student.pdparams")
    network.eval()
    image = np.random.default_rng(0).normal(0, 1, (2, 3, 64, 64)).astype(np.float32)
    with paddle.no_grad():
        expected = network(paddle.to_tensor(image)).numpy()
    found = OneDNNProgram("exported/inference")(image)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
