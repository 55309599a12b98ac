"""The student leaves runs of every kind, by the commands that a user types."""
from __future__ import annotations

import hashlib
from collections import OrderedDict
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from dedup.files import sha256_file
from ssld.cli import main
from ssld.config import Config
from ssld.data.dataset import ImageNetDataset, Visit
from ssld.errors import InputError
from ssld.export.card import read_card
from ssld.export.run import calibration_images, export, export_transfer
from ssld.export.source import check_one_student
from ssld.models.weights import load_weights, read_state, save_weights
from ssld.models.zoo import build_network
from ssld.teachers.onednn import OneDNNProgram
from ssld.teachers.onnx import OnnxEngine
from ssld.train.checkpoint import latest_checkpoint
from ssld.train.run import train

TINY = Path(__file__).parents[2] / "configs" / "Distillation" / "tiny"
RUNS = {
    "ssld": ("distill.yaml", []),
    "fkd": ("fkd.yaml", ["DataLoader.Train.sampler.batch_size=8"]),
    "scalekd": ("scalekd.yaml", ["DataLoader.Train.sampler.batch_size=4"]),
    "vkd": ("distill.yaml", ["Loss.Train=[{VkDLoss: {}}, {JSDivLoss: {}}]"]),
    "averaged": ("distill.yaml", ["EMA.decay=0.5"]),
}
TWO_STEPS = ["Global.epochs=1", "Global.iter_per_epoch=2", "Global.print_batch_step=1", "Optimizer.lr.warmup_epoch=0"]
ALWAYS = {"student.pdparams", "inference.json", "inference.pdiparams", "transfer.yaml", "card.json"}


@pytest.fixture(scope="module")
def home(tmp_path_factory, make_store):
    """A working folder with the lists, the teachers and the stored labels that the tiny configs name."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("distill.yaml", "scalekd.yaml"):
            for mode, loader in Config.load(TINY / name).section("DataLoader").items():
                write_list(mode, loader["dataset"])
        for name in ("distill.yaml", "scalekd.yaml"):
            write_teacher(Config.load(TINY / name).section("Arch")["teacher"])
        fkd = Config.load(TINY / "fkd.yaml")
        listed = Path(fkd.section("DataLoader")["Train"]["dataset"]["image_root"]) / "labelled.txt"
        listed.write_text("".join(f"Train{place}.png {place}\n" for place in range(12)))
        make_store(fkd.section("Arch")["teacher"]["path"], listed, "marginal_smoothing", 5, class_num=14)
    return folder


def write_list(mode, dataset):
    root, listed = Path(dataset["image_root"]), Path(dataset["cls_label_path"])
    for parent in (root, listed.parent):
        parent.mkdir(parents=True, exist_ok=True)
    for place in range(12):
        pixels = np.random.default_rng([place, len(mode)]).integers(0, 256, (80, 80, 3), np.uint8)
        Image.fromarray(pixels).save(root / f"{mode}{place}.png")
    listed.write_text("".join(f"{mode}{place}.png {place}\n" for place in range(12)))


def write_teacher(options):
    options = {key: value for key, value in options.items() if key not in ("pretrained", "engine")}
    paddle.seed(1)
    folder = Path(Config.load(TINY / ("scalekd.yaml" if options["name"] == "SmallSwin" else "distill.yaml"))
                  .section("Arch")["teacher"]["pretrained"])
    folder.mkdir(parents=True)
    save_weights(build_network(**options), folder / "student.pdparams")


@pytest.fixture
def at_home(home, monkeypatch):
    """The working folder is `home`; gives a function that trains one of RUNS there for two steps, once."""
    monkeypatch.chdir(home)

    def trained(kind):
        name, settings = RUNS[kind]
        output = Path("runs") / kind
        config = Config.load(TINY / name, [*TWO_STEPS, "DataLoader.Train.sampler.batch_size=4", *settings,
                                           f"Global.output_dir={output}"])
        if not output.exists():
            train(config)
        return Config.load(output / "config.yaml")
    return trained


def in_training(config, arch):
    """The student as the run's last checkpoint has it, among everything else that trains."""
    checkpoint = latest_checkpoint(config.section("Global")["output_dir"])
    state = checkpoint.training_state()
    beginning = "ema/" if config.section("EMA") else "model/student."
    network = build_network(**arch)
    network.set_state_dict({name[len(beginning):]: paddle.to_tensor(value) for name, value in state.items()
                            if name.startswith(beginning)})
    network.eval()
    return network


@pytest.mark.parametrize("kind", ["ssld", "fkd", "vkd", *(pytest.param(kind, marks=pytest.mark.slow)
                                                          for kind in ("scalekd", "averaged"))])
def test_the_exported_files_answer_as_the_student_did_in_its_run(kind, at_home, tmp_path, logits):
    config = at_home(kind)
    assert main(["export", "-c", f"runs/{kind}/config.yaml", "--weights", f"runs/{kind}/latest", "--out", str(tmp_path),
                 "--also", "onnx"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == ALWAYS | {"student.onnx"}
    card = read_card(tmp_path)
    image = np.random.default_rng(0).standard_normal((4, *card.input)).astype(np.float32)
    expected = logits(in_training(config, card.arch), image)
    fresh = build_network(**card.arch)
    load_weights(fresh, tmp_path / "student.pdparams")
    np.testing.assert_array_equal(logits(fresh, image), expected)
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(OneDNNProgram(tmp_path / "inference")(image), expected, atol=atol)
    np.testing.assert_allclose(OnnxEngine(tmp_path / "student.onnx", 14)(paddle.to_tensor(image)).numpy(), expected, atol=atol)
    assert not {"teacher", "student", "methods"} & {name.split(".")[0].lower() for name in read_state(tmp_path / "student")}


def test_the_card_names_run_lists_and_measured_accuracy(at_home, tmp_path, capsys):
    config = at_home("ssld")
    (tmp_path / "names.txt").write_text("".join(f"{label} class {label}\n" for label in range(14)))
    assert main(["export", "-c", "runs/ssld/config.yaml", "--out", str(tmp_path / "out"), "--also", "onnx", "int8",
                 "--class-names", str(tmp_path / "names.txt")]) == 0
    card, dataset = read_card(tmp_path / "out"), config.data["DataLoader"]["Train"]["dataset"]
    assert card.source["config"] == config.data and card.source["sha256"] == sha256_file(card.source["weights"])
    assert card.source["weights"] == "runs/ssld/best/student.pdparams"
    listed = dataset["cls_label_path"]
    assert card.source["lists"]["train"] == {"file": listed, "images": 12,
                                             "sha256": hashlib.sha256(Path(listed).read_bytes()).hexdigest()}
    assert card.source["lists"]["eval"]["images"] == 12 == card.images_compared
    assert card.preprocess == config.data["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    assert card.class_names[3] == "class 3" and card.input == [3, 64, 64]
    assert set(card.accuracy) == {"inference", "onnx", "int8"}
    assert card.accuracy["onnx"] == card.accuracy["inference"] and card.accuracy["onnx"]["images"] == 12
    said = capsys.readouterr().out
    assert all(f"exported model, {name}: top1" in said for name in ("inference", "onnx", "int8"))


def test_transforms_without_options_are_written_as_mappings(at_home, tmp_path):
    config = at_home("ssld")
    ops = config.data["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    ops[:] = [next(iter(op)) if not next(iter(op.values())) else op for op in ops]
    assert "DecodeImage" in ops
    export(config, str(tmp_path))
    assert read_card(tmp_path).preprocess[0] == {"DecodeImage": {}}


def test_int8_is_calibrated_on_training_images_as_the_evaluation_sees_them(at_home):
    config = at_home("ssld")
    images = calibration_images(config)
    config.data["DataLoader"]["Eval"]["dataset"]["delimiter"] = ","
    assert (calibration_images(config) == images).all(), "the training list has its own delimiter"
    dataset = dict(config.data["DataLoader"]["Train"]["dataset"])
    dataset["transform_ops"] = config.data["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    expected = ImageNetDataset(**dataset)
    assert images.shape == (12, 3, 64, 64)
    for row in (0, 5, 11):
        np.testing.assert_array_equal(images[row], expected[Visit(row, 0)]["image"])


def test_a_transfer_export_needs_neither_lists_nor_images(at_home, tmp_path, monkeypatch):
    config = at_home("ssld")
    weights = str(Path("runs/ssld/latest").resolve())
    monkeypatch.chdir(tmp_path)
    assert export_transfer(config, "out", weights)
    card = read_card("out")
    assert card.source["lists"]["train"] == {"file": config.data["DataLoader"]["Train"]["dataset"]["cls_label_path"],
                                             "sha256": None, "images": None}
    assert {file.name for file in Path("out").iterdir()} == {"student.pdparams", "transfer.yaml", "card.json"}


def test_the_command_for_transfer_writes_the_pair_or_says_who_can_have_one(at_home, tmp_path, capsys):
    at_home("ssld")
    argv = ["export-transfer", "-c", "runs/ssld/config.yaml", "--out", str(tmp_path / "out")]
    assert main([*argv, "--without-classifier", "--use", "detection"]) == 0
    assert read_card(tmp_path / "out").weights["student.pdparams"]["dropped"] == ["_fc.weight", "_fc.bias"]
    assert main([*argv, "--for", "paddledetection"]) == 2
    assert "names of ShuffleNetV2_x0_25 are not known" in capsys.readouterr().err
    assert read_card(tmp_path / "out").weights["student.pdparams"]["dropped"], "the earlier export is as it was"


def test_a_transfer_config_trains_in_this_package(at_home, tmp_path):
    config = at_home("ssld")
    export_transfer(config, str(tmp_path))
    options = yaml.safe_load((tmp_path / "transfer.yaml").read_text())["Arch"]["student"]
    data = {**config.data, "Arch": {"student": options}, "Loss": {"Train": [{"CELoss": {}}]}}
    data["Global"] = {**data["Global"], "output_dir": str(tmp_path / "run")}
    train(Config(data))
    moved = read_state(tmp_path / "run" / "latest")
    assert any((value != read_state(tmp_path / "student.pdparams")[name]).any() for name, value in moved.items())


def test_each_of_several_students_is_exported_by_its_own_config(at_home, tmp_path):
    config = at_home("ssld")
    students = [{"run": "js", "name": "ShuffleNetV2_x0_25", "class_num": 14},
                {"run": "vkd", "name": "SmallResNet", "class_num": 14, "width": 4, "Loss": {"Train": [{"VkDLoss": {}}]}}]
    data = {**config.data, "Arch": {"teacher": config.data["Arch"]["teacher"], "students": students}}
    data["Global"] = {**data["Global"], "output_dir": str(tmp_path / "both")}
    train(Config(data, "both.yaml"))
    with pytest.raises(InputError, match="several students.*both/js/config.yaml.*both/vkd/config.yaml"):
        export(Config(data, "both.yaml"), str(tmp_path / "out"))
    with pytest.raises(InputError, match="both holds the runs of 2 students: js, vkd. .*--weights .*both/js/best"):
        export(config, str(tmp_path / "out"), str(tmp_path / "both"))
    assert not (tmp_path / "out").exists()
    for name, backbone in (("js", "ShuffleNetV2_x0_25"), ("vkd", "SmallResNet")):
        export(Config.load(tmp_path / "both" / name / "config.yaml"), str(tmp_path / name))
        card, best = read_card(tmp_path / name), read_state(tmp_path / "both" / name / "best")
        found = read_state(tmp_path / name / "student.pdparams")
        assert card.backbone == backbone and found.keys() == best.keys()
        assert all((found[key] == best[key]).all() for key in best)


@pytest.fixture
def checkpoint(at_home, tmp_path):
    """checkpoint({"Student.": seed}) writes a file with networks of the run's kind under such beginnings."""
    arch = at_home("ssld").data["Arch"]["student"]

    def write(beginnings):
        state = OrderedDict()
        for beginning, seed in beginnings.items():
            paddle.seed(seed)
            state.update({f"{beginning}{name}": tensor for name, tensor in build_network(**arch).state_dict().items()})
        paddle.save(state, str(tmp_path / "checkpoint.pdparams"))
        return tmp_path / "checkpoint.pdparams"
    return write


def refused(at_home, tmp_path, weights, message, **changes):
    """Exporting those weights is refused with this message, and nothing is written."""
    config = at_home("ssld")
    config.data["Arch"]["student"].update(changes)
    for way in (export, export_transfer):
        with pytest.raises(InputError, match=message):
            way(config, str(tmp_path / "out"), str(weights))
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_of_student_and_teacher_gives_the_student(checkpoint, at_home, tmp_path):
    file = checkpoint({"Student.": 1, "Teacher.": 2})
    export_transfer(at_home("ssld"), str(tmp_path / "out"), str(file))
    whole = read_state(file)
    for name, value in read_state(tmp_path / "out" / "student").items():
        np.testing.assert_array_equal(value, whole[f"Student.{name}"], err_msg=name)


def test_a_checkpoint_without_a_student_is_refused(checkpoint, at_home, tmp_path):
    refused(at_home, tmp_path, checkpoint({"Teacher.": 2}), "holds no student: its tensors are those of Teacher")


def test_a_checkpoint_with_several_students_is_refused(checkpoint, at_home, tmp_path):
    refused(at_home, tmp_path, checkpoint({"Student.": 1, "Student2.": 2}), "holds several students: Student, Student2")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_checkpoint_is_refused(share, checkpoint, at_home, tmp_path):
    file = checkpoint({"": 1})
    file.write_bytes(file.read_bytes()[:int(share * file.stat().st_size)])
    refused(at_home, tmp_path, file, "is not a whole weight file")


def test_weights_of_another_number_of_classes_are_refused(checkpoint, at_home, tmp_path):
    refused(at_home, tmp_path, checkpoint({"": 1}), r"_fc.weight is \(512, 14\) in the file, \(512, 15\) in the network",
            class_num=15)


def test_weights_of_another_backbone_are_refused(checkpoint, at_home, tmp_path):
    refused(at_home, tmp_path, checkpoint({"": 1}), "does not fit SmallResNet: 0 of .* tensors match", name="SmallResNet")


def test_a_folder_that_holds_no_weights_is_refused(at_home, tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        refused(at_home, tmp_path, place, "there are no weights at")


def test_a_run_that_has_not_begun_is_refused(at_home, tmp_path):
    config = at_home("ssld")
    config.data["Global"]["output_dir"] = str(tmp_path / "not_begun")
    with pytest.raises(InputError, match="not_begun holds no checkpoint. Train first"):
        export(config, str(tmp_path / "out"))


def test_class_names_that_do_not_fit_are_refused_before_anything_is_written(at_home, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    with pytest.raises(InputError, match="names 2 classes, the student has 14"):
        export(at_home("ssld"), str(tmp_path / "out"), class_names=str(tmp_path / "names.txt"))
    assert not (tmp_path / "out").exists()


def test_the_checkpoint_of_a_run_is_one_students(at_home):
    at_home("ssld")
    for place in ("runs/ssld", "runs/ssld/best", "runs/ssld/latest/student.pdparams"):
        check_one_student(place)
