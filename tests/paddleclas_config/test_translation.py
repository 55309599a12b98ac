"""What a user sees of a translation, and how it goes to a file."""
from __future__ import annotations

import pytest
import yaml

from ssld import cli, device
from ssld.config import Config
from ssld.errors import InputError


def test_the_notice_names_form_changes_losses_and_native_form(v2):
    text = v2().notice()
    assert text.startswith("old.yaml is in PaddleClas's 2.x form and runs in translation.\n")
    assert "  changed: " in text and "  dropped: " in text and "ssld config translate old.yaml --out NEW.yaml" in text
    native = text.split("NEW.yaml writes it):\n")[1]
    assert yaml.safe_load(native) == yaml.safe_load(v2().native_yaml())
    assert max(map(len, v2().notice(show_native=False).splitlines())) <= 120


def test_loading_says_it_once_on_stderr_and_other_processes_are_silent(old_file, capsys, monkeypatch):
    file = old_file("distill_2x")
    Config.load(file)
    said = capsys.readouterr()
    assert said.err.count("runs in translation") == 1 and not said.out
    monkeypatch.setattr(device, "is_main", lambda: False)
    Config.load(file)
    assert not capsys.readouterr().err


def test_a_native_file_is_loaded_without_a_word(tmp_path, capsys):
    (tmp_path / "native.yaml").write_text("Arch: {student: {name: ResNet18, class_num: 4}}\n")
    assert Config.load(tmp_path / "native.yaml").data == {"Arch": {"student": {"name": "ResNet18", "class_num": 4}}}
    assert capsys.readouterr() == ("", "")


def test_overrides_change_the_translation(old_file):
    config = Config.load(old_file("distill_2x"), ["Arch.teacher.pretrained=a=b", "Loss.Train.1.JSDivLoss.weight=3",
                                                  "Global.device=cpu", "Optimizer.lr.learning_rate=1e-3"])
    assert config.data["Arch"]["teacher"]["pretrained"] == "a=b" and config.data["Global"]["device"] == "cpu"
    assert config.data["Loss"]["Train"][1]["JSDivLoss"]["weight"] == 3
    assert config.data["Optimizer"]["lr"]["learning_rate"] == 1e-3


@pytest.mark.parametrize("name, override, native", [
    ("distill_2x", "Arch.models.0.Teacher.pretrained=a=b", "Arch.teacher.pretrained"),
    ("distill_2x", "Arch.models.1.Student.name=ResNet18", "Arch.student.name"),
    ("distill_2x", "Loss.Train.1.DistillationDMLLoss.weight=2", "Loss.Train.1.JSDivLoss.weight"),
    ("distill_2x", "Metric.Eval.0.DistillationTopkAcc.topk=[1]", "Metric.Eval.0.TopkAcc.topk"),
    ("distill_1x", "TRAIN.batch_size=4", "DataLoader.Train.sampler.batch_size"),
    ("distill_1x", "VALID.file_list=x", "DataLoader.Eval.dataset.cls_label_path"),
    ("distill_1x", "LEARNING_RATE.params.lr=0.1", "Optimizer.lr.learning_rate"),
    ("distill_1x", "OPTIMIZER.params.momentum=0.1", "Optimizer.momentum"),
    ("distill_1x", "epochs=3", "Global.epochs"), ("distill_1x", "pretrained_model=x", "Arch.teacher.pretrained"),
    ("distill_1x", "model_save_dir=x", "Global.output_dir")])
def test_an_override_of_an_old_key_names_the_native_one(old_file, name, override, native):
    with pytest.raises(InputError, match=f"-o {override.split('=')[0]}=.* Write -o {native}=..."):
        Config.load(old_file(name), [override])


def test_an_override_of_a_plain_old_file_goes_to_the_student(tmp_path, old_file):
    text = yaml.safe_load(old_file("distill_2x").read_text())
    text.update(Arch={"name": "ResNet18"}, Loss={"Train": [{"CELoss": {"weight": 1.0}}]}, Metric=None)
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(text))
    for override, native in (("Arch.pretrained=true", "Arch.student.pretrained"), ("Arch.name=X", "Arch.student.name"),
                             ("Global.pretrained_model=x", "Arch.student.pretrained")):
        with pytest.raises(InputError, match=f"Write -o {native}=..."):
            Config.load(tmp_path / "plain.yaml", [override])
    assert Config.load(tmp_path / "plain.yaml", ["Arch.student.name=X"]).data["Arch"]["student"]["name"] == "X"


@pytest.mark.parametrize("name", ["distill_1x", "distill_2x"])
def test_a_translation_on_disk_loads_to_the_same_settings_and_says_what_was_dropped(old_file, name, tmp_path, capsys):
    file, out = old_file(name), tmp_path / "new" / "native.yaml"
    assert cli.main(["config", "translate", str(file), "--out", str(out)]) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert Config.load(out).data == Config.load(file).data
    text = out.read_text()
    assert text.startswith(f"# Translated from {file} (PaddleClas {name[-2]}.x).\n#   changed: ") and "#   dropped: " in text


def test_without_out_the_translation_is_printed(old_file, capsys):
    assert cli.main(["config", "translate", str(old_file("distill_1x")), "--processes", "4"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["DataLoader"]["Train"]["sampler"]["batch_size"] == 2


def test_config_prints_the_native_form_once_and_the_notice_beside_it(old_file, capsys):
    assert cli.main(["config", "-c", str(old_file("distill_2x")), "-o", "Global.epochs=7"]) == 0
    said = capsys.readouterr()
    assert yaml.safe_load(said.out)["Global"]["epochs"] == 7
    assert "runs in translation" in said.err and "JSDivLoss" not in said.err


@pytest.mark.parametrize("arguments, message", [
    (["translate", "native.yaml"], "native.yaml is not in a PaddleClas form"),
    (["translate", "old.yaml", "--out", "./old.yaml"], "would replace the old file"),
    (["translate", "old.yaml", "--processes", "0"], "--processes must be a whole number of at least 1"),
    (["translate", "gone.yaml"], "gone.yaml cannot be read"), ([], "expected -c FILE, or: ssld config translate OLD.yaml")])
def test_what_the_user_can_mend_is_said(old_file, tmp_path, monkeypatch, capsys, arguments, message):
    old_file("distill_2x")
    (tmp_path / "native.yaml").write_text("Arch: {student: {name: ResNet18}}\n")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "old.yaml").read_text()
    assert cli.main(["config", *arguments]) == 2
    assert message in capsys.readouterr().err and (tmp_path / "old.yaml").read_text() == before
