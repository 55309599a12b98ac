import copy

import pytest

from ssld import build
from ssld.config import Config
from ssld.data.loader import Loader
from ssld.errors import InputError
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.train.cached_data import CachedLoader
from ssld.train.classifier_stage import ClassifierDistiller
from ssld.train.run import train


@pytest.fixture
def fixed(tiny, tmp_path):
    """The tiny run as a Fix stage with a teacher."""
    for name, width in (("start", 4), ("teacher", 8)):
        save_weights(build_network("SmallResNet", 4, width=width), tmp_path / f"{name}.pdparams")
    tiny["Arch"]["student"].update(pretrained=str(tmp_path / "start"), trainable=["classifier"])
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "pretrained": str(tmp_path / "teacher")}
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}]
    tiny["Global"]["fix_resolution"] = True
    tiny["DataLoader"]["Train"]["dataset"]["transform_ops"] = tiny["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    return tiny


def config(data, **changes):
    data = copy.deepcopy(data)
    for section, values in changes.items():
        data[section].update(values)
    return Config(data, "run.yaml")


def test_features_are_used_by_default_and_images_when_asked_for(fixed):
    trainer = build.build_trainer(config(fixed))
    assert isinstance(trainer.model, ClassifierDistiller) and isinstance(trainer.loader, CachedLoader)
    trainer = build.build_trainer(config(fixed, Global={"cache_features": False}))
    assert not isinstance(trainer.model, ClassifierDistiller) and isinstance(trainer.loader, Loader)


def test_other_runs_do_not_know_about_it(tiny):
    assert isinstance(build.build_trainer(config(tiny)).loader, Loader)


def test_a_teacher_whose_answer_depends_on_the_batch_is_refused(fixed):
    fixed["Arch"]["teacher"]["batch_norm"] = "batch"
    with pytest.raises(InputError, match="^run.yaml: Arch.teacher: with batch_norm 'batch'.*cache_features: false"):
        build.build_trainer(config(fixed))
    build.build_trainer(config(fixed, Global={"cache_features": False}))


def test_a_fix_stage_without_evaluation_list_is_refused(fixed):
    del fixed["DataLoader"]["Eval"]
    with pytest.raises(InputError, match="DataLoader needs 'Eval'"):
        build.build_trainer(config(fixed))


def test_an_unknown_features_engine_is_refused(fixed):
    with pytest.raises(InputError, match="Global.features_engine"):
        build.build_trainer(config(fixed, Global={"features_engine": "onednn_bf16"}))


def student(data, folder):
    save_weights(build_network("SmallResNet", 4, width=4), folder / "start.pdparams")


def teacher(data, folder):
    save_weights(build_network("SmallResNet", 4, width=8), folder / "teacher.pdparams")


def preprocessing(data, folder):
    ops = ["DecodeImage", {"ResizeImage": {"size": 24}}, "NormalizeImage", "ToCHWImage"]
    for mode in ("Train", "Eval"):
        data["DataLoader"][mode]["dataset"]["transform_ops"] = ops


def image(data, folder):
    (folder / "train" / "3.jpg").write_bytes((folder / "train" / "4.jpg").read_bytes() + b"\0")


def order(data, folder):
    lines = (folder / "train.txt").read_text().splitlines(keepends=True)
    (folder / "train.txt").write_text("".join(reversed(lines)))


def engine(data, folder):
    data["Global"]["features_engine"] = "onednn_fp32"


@pytest.mark.parametrize("change, what", [
    (student, "the student"), (teacher, "the teacher"), (preprocessing, "the preprocessing"), (image, "the list of images"),
    (order, "the list of images"), (engine, "features_engine")])
def test_what_was_made_of_other_things_is_not_used(fixed, tmp_path, capsys, change, what):
    train(config(fixed))
    change(fixed, tmp_path)
    train(config(fixed), restart=True)
    assert f"train: {what} changed since it was made; it is computed again" in capsys.readouterr().out


def test_other_labels_and_another_rate_use_what_is_there(fixed, tmp_path, capsys):
    train(config(fixed))
    (tmp_path / "train.txt").write_text((tmp_path / "train.txt").read_text().replace("train/6.jpg 2", "train/6.jpg 1"))
    fixed["Optimizer"]["lr"]["learning_rate"] = 0.01
    capsys.readouterr()
    train(config(fixed), restart=True)
    assert "computing" not in capsys.readouterr().out
