"""Old files train unmodified, do what their native form does, and do not do what PaddleClas did wrong."""
from __future__ import annotations

import numpy as np
import paddle
import pytest
import yaml

from ssld import build, build_networks, cli
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import read_state, save_weights
from ssld.models.zoo import build_network
from ssld.teachers.live import LiveTeacher
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import train

OPS = [{"DecodeImage": {}}, {"RandCropImage": {"size": 32}}, "RandFlipImage", "NormalizeImage", "ToCHWImage"]


@pytest.fixture
def old_run(old_file, tmp_path, make_list):
    """old_run(name) writes pictures, a teacher and an old file that trains two steps; returns the file."""
    def prepare(name: str):
        make_list(tmp_path, "train", 16, size=40)
        make_list(tmp_path, "val", 8, size=40)
        paddle.seed(1)
        save_weights(build_network("ResNet18", 4), tmp_path / "teacher.pdparams")
        return old_file(name)
    return prepare


def native_form(folder, name: str) -> dict:
    """The old files' runs as one would write them here, by hand."""
    scale = {"scale": 0.00392157} if name == "distill_2x" else {}
    train_ops = [*OPS[:3], *(["AutoAugment"] if name == "distill_2x" else []), {"NormalizeImage": scale}, "ToCHWImage"]
    eval_ops = [OPS[0], {"ResizeImage": {"resize_short": 36}}, {"CropImage": {"size": 32}}, {"NormalizeImage": scale},
                "ToCHWImage"]

    def loader(which, ops):
        return {"dataset": {"image_root": str(folder), "cls_label_path": f"{folder}/{which}.txt", "transform_ops": ops},
                "sampler": {"batch_size": 8}}

    both = [{"CELoss": {"weight": 0.5}}, {"JSDivLoss": {"weight": 2.0}}]
    student = {"name": "MobileNetV3_small_x0_35", "dropout_prob": None} if name == "distill_2x" else {"name": "SmallResNet"}
    return {
        "Global": {"output_dir": f"{folder}/native", "device": "cpu", "seed": 0 if name == "distill_2x" else 5, "epochs": 1},
        "Arch": {"student": {**student, "class_num": 4},
                 "teacher": {"name": "ResNet18", "class_num": 4, "pretrained": f"{folder}/teacher"}},
        "Loss": {"Train": both if name == "distill_2x" else [{"JSDivLoss": {}}]},
        "Optimizer": {"regularizer": {"name": "L2", "coeff": 1e-5},
                      "lr": {"learning_rate": 0.02, "warmup_epoch": 0 if name == "distill_2x" else 1}},
        "DataLoader": {"Train": loader("train", train_ops), "Eval": loader("val", eval_ops)},
        "Metric": {"Eval": [{"TopkAcc": {"topk": [1, 2]}}]}}


@pytest.mark.parametrize("name", ["distill_2x", "distill_1x"])
def test_an_old_file_trains_unmodified_and_ends_where_its_native_form_does(name, old_run, tmp_path, capsys):
    assert cli.main(["train", "-c", str(old_run(name))]) == 0
    assert capsys.readouterr().err.count("runs in translation") == 1
    train(Config(native_form(tmp_path, name), "native.yaml"))
    old, native = (latest_checkpoint(tmp_path / folder) for folder in ("old", "native"))
    assert old.step == native.step == 2 and old.card["best"] == native.card["best"]
    for mine, theirs in ((old.training_state(), native.training_state()), (read_state(old.folder), read_state(native.folder))):
        assert mine.keys() == theirs.keys()
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key], err_msg=key)


def test_a_written_translation_trains_by_itself(old_run, tmp_path, capsys):
    assert cli.main(["config", "translate", str(old_run("distill_1x")), "--out", str(tmp_path / "new.yaml")]) == 0
    assert cli.main(["train", "-c", str(tmp_path / "new.yaml"), "--dry-run"]) == 0
    assert "translation" not in capsys.readouterr().err


def test_the_saved_config_of_an_old_run_is_native_and_the_run_goes_on(old_run, tmp_path, capsys):
    file = old_run("distill_1x")
    assert cli.main(["train", "-c", str(file)]) == 0
    assert "student" in yaml.safe_load((tmp_path / "old" / "config.yaml").read_text())["Arch"]
    assert cli.main(["train", "-c", str(file)]) == 0            # the same settings: nothing is left to do
    assert latest_checkpoint(tmp_path / "old").step == 2


def test_a_plain_old_file_trains(old_run, tmp_path):
    data = yaml.safe_load(old_run("distill_2x").read_text())
    data.update(Arch={"name": "SmallResNet", "class_num": 4, "width": 4},
                Loss={"Train": [{"CELoss": {"weight": 1.0, "epsilon": 0.1}}]}, Metric={"Eval": [{"TopkAcc": {"topk": [1, 2]}}]})
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(data))
    assert cli.main(["train", "-c", str(tmp_path / "plain.yaml")]) == 0
    assert latest_checkpoint(tmp_path / "old").step == 2


def test_a_file_of_other_weights_is_no_teacher(old_run, tmp_path):
    """PaddleClas trained against random weights without a word."""
    file = old_run("distill_2x")
    save_weights(build_network("SmallResNet", 4), tmp_path / "teacher.pdparams")
    with pytest.raises(InputError, match="does not fit ResNet: 1 of 107 tensors match"):
        build.build_teacher(Config.load(file))


def test_a_whole_checkpoint_gives_each_model_its_part(old_run, tmp_path):
    from collections import OrderedDict
    data = yaml.safe_load(old_run("distill_2x").read_text())
    parts = {"Student": build_network("MobileNetV3_small_x0_35", 4), "Teacher": build_network("ResNet18", 4)}
    whole = OrderedDict((f"{name}.{key}", value) for name, part in parts.items() for key, value in part.state_dict().items())
    paddle.save(whole, str(tmp_path / "whole.pdparams"))
    data["Global"]["pretrained_model"] = str(tmp_path / "whole")
    (tmp_path / "whole.yaml").write_text(yaml.safe_dump(data))
    config = Config.load(tmp_path / "whole.yaml")
    for network, name in ((build.build_student(config), "Student"), (build_networks.build_frozen_network(config), "Teacher")):
        for key, value in network.state_dict().items():
            np.testing.assert_array_equal(value.numpy(), parts[name].state_dict()[key].numpy(), err_msg=key)


def test_pretrained_list_works(old_run, tmp_path):
    """PaddleClas raised a TypeError."""
    data = yaml.safe_load(old_run("distill_2x").read_text())
    data["Arch"]["models"][0]["Teacher"]["pretrained"] = False
    data["Arch"]["pretrained_list"] = [str(tmp_path / "teacher"), None]
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(data))
    assert build.build_teacher(Config.load(tmp_path / "list.yaml")) is not None


def test_the_teachers_answer_depends_on_the_picture_alone(old_run):
    """PaddleClas left the frozen teacher in train mode, so an answer depended on the rest of the batch."""
    model = build.build_distiller(Config.load(old_run("distill_2x"), ["Arch.teacher.engine=eager"]))
    model.train()
    images = paddle.randn([4, 3, 32, 32])
    before = model.teacher({"image": images}).logits.numpy()
    model({"image": images, "label": paddle.zeros([4], "int64")}).total.backward()
    after = model.teacher({"image": images[:1]}).logits.numpy()
    np.testing.assert_allclose(after, before[:1], rtol=1e-4, atol=1e-5)


def test_evaluation_does_not_run_the_teacher(old_run, monkeypatch):
    """PaddleClas ran it in every evaluation step."""
    asked = []
    original = LiveTeacher.__call__
    monkeypatch.setattr(LiveTeacher, "__call__", lambda self, batch: asked.append(len(batch["image"])) or original(self, batch))
    train(Config.load(old_run("distill_2x"), ["Arch.teacher.engine=eager"]))
    assert asked == [8, 8]          # two training steps, though there were evaluations as well


def test_an_unreadable_picture_is_counted_and_named_and_too_many_stop_the_run(old_run, tmp_path):
    """PaddleClas put a random picture in its place."""
    file = old_run("distill_2x")
    (tmp_path / "train" / "3.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"(?s)1 of 16 images cannot be read.*train.txt.*3.jpg"):
        train(Config.load(file, ["Arch.teacher.engine=eager"]))
    assert cli.main(["train", "-c", str(file), "--restart", "-o", "Arch.teacher.engine=eager",
                     "-o", "DataLoader.Train.dataset.max_bad_fraction=0.1"]) == 0
