"""The same teacher as an ONNX file and as a network of ours, wherever a run asks one."""
from __future__ import annotations

import importlib.util
import json
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs pip install ssld[onnx]")
pytest.importorskip("onnx", reason="makes its files with the onnx package")

from ssld.build import build_distiller  # noqa: E402
from ssld.build_expansion import run_expansion  # noqa: E402
from ssld.build_onnx import onnx_digest  # noqa: E402
from ssld.build_soft_labels import run_generation  # noqa: E402
from ssld.build_teacher import build_teacher  # noqa: E402
from ssld.config import Config  # noqa: E402
from ssld.errors import InputError  # noqa: E402
from ssld.models import zoo  # noqa: E402
from ssld.models.weights import save_weights  # noqa: E402
from ssld.train.run import train  # noqa: E402

_spec = importlib.util.spec_from_file_location("onnx_files", Path(__file__).parent / "teachers" / "onnx_files.py")
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)


@pytest.fixture
def teachers(tmp_path, monkeypatch) -> dict[str, dict]:
    """Arch.teacher in both forms."""
    monkeypatch.setitem(zoo.OURS, "Small", lambda class_num: files.small_network(class_num))
    network = files.small_network()
    network.fc.weight.set_value(network.fc.weight * 4)
    save_weights(network, tmp_path / "teacher.pdparams")
    files.write(tmp_path / "teacher.onnx", network)
    return {"ours": {"name": "Small", "class_num": 4, "pretrained": str(tmp_path / "teacher.pdparams"), "engine": "eager"},
            "onnx": {"source": "onnx", "path": str(tmp_path / "teacher.onnx"), "class_num": 4,
                     "outputs": {"pool": "pooled", "stage1": "map"}}}


def taught_by(settings: dict, teacher: dict, **changes) -> Config:
    settings = deepcopy(settings)
    settings["Arch"]["teacher"] = {**teacher, **changes}
    settings["Loss"]["Train"] = [{"JSDivLoss": {}}]
    return Config(settings, "run.yaml")


def test_a_run_has_the_same_losses_and_its_record_tells_the_file(tiny, teachers, tmp_path):
    losses = {}
    for form, teacher in teachers.items():
        tiny["Global"].update(output_dir=str(tmp_path / form), epochs=2)
        train(taught_by(tiny, teacher))
        events = [json.loads(line) for line in (tmp_path / form / "log.jsonl").read_text().splitlines()]
        losses[form] = [event["loss"] for event in events if "loss" in event]
        record = json.loads((tmp_path / form / "teacher.json").read_text())
    np.testing.assert_allclose(losses["onnx"], losses["ours"], rtol=1e-5)
    assert len(losses["onnx"]) > 3
    assert (record["name"], record["engine"]) == ("teacher", "onnx_cpu")
    assert record["sha256"] == onnx_digest(teachers["onnx"]["path"])
    assert record["accuracy"]["result"]["images"] == 10


def test_features_go_to_a_method_by_their_given_names(tiny, teachers):
    settings = taught_by(tiny, teachers["onnx"])
    settings.data["Loss"]["Train"] = [{"CorrelationLoss": {"teacher_tap": "stage1"}}]
    model = build_distiller(settings)
    model.attach((16, 16), np.zeros(24, np.int64))
    assert model.methods[0].of_teacher.weight.shape[0] == 6 * 8 * 8
    settings.data["Loss"]["Train"] = [{"CorrelationLoss": {"teacher_tap": "stage4"}}]
    with pytest.raises(InputError, match="no output is given for the teacher's feature 'stage4'. Did you mean 'stage1'"):
        build_distiller(settings).attach((16, 16), np.zeros(24, np.int64))


def test_soft_labels_are_those_of_the_network(tiny, teachers, tmp_path):
    labels = {}
    for form, teacher in teachers.items():
        settings = taught_by(tiny, teacher, size=16)
        settings.data["SoftLabels"] = {"output": str(tmp_path / form), "crops": 3, "batch_size": 8, "kind": "full",
                                       "num_workers": 0}
        store = run_generation(settings)
        shards = [(tmp_path / form / entry["file"]).read_bytes() for entry in store.meta["shards"]]
        labels[form] = np.frombuffer(b"".join(shards), store.codec.dtype)
    ours, onnx = (labels[form] for form in ("ours", "onnx"))
    assert len(ours) == 24 * 3
    for name in ours.dtype.names:
        np.testing.assert_allclose(onnx[name].astype(np.float64), ours[name].astype(np.float64), atol=2e-3)


def test_the_store_of_soft_labels_does_not_go_where_the_file_is(tiny, teachers):
    settings = taught_by(tiny, teachers["onnx"], size=16)
    settings.data["SoftLabels"] = {"crops": 3, "num_workers": 0}
    del settings.data["Global"]["output_dir"]
    with pytest.raises(InputError, match="needs the option 'output'"):
        run_generation(settings)


@pytest.fixture
def curate(tmp_path, make_list):
    """Runs a curation with a teacher; returns its training list."""
    for name, count, labelled in (("pool", 12, False), ("val", 4, True), ("train", 4, True)):
        make_list(tmp_path, name, count, labelled=labelled)
    lists = {name: {"cls_label_path": str(tmp_path / f"{file}.txt")}
             for name, file in (("pool", "pool"), ("evaluation", "val"), ("labelled", "train"))}
    ops = ["DecodeImage", {"ResizeImage": {"size": 16}}, "NormalizeImage", "ToCHWImage"]

    def run(teacher: dict, output: str, **score) -> bytes:
        settings = {"Global": {"output_dir": str(tmp_path / output), "device": "cpu"}, "Arch": {"teacher": teacher},
                    "Lists": lists, "Score": {"transform_ops": ops, **score}, "Select": {"name": "top_k", "k": 2}}
        run_expansion(Config(settings, "expand.yaml"))
        return (tmp_path / output / "train_list.txt").read_bytes()
    return run


def test_scores_are_those_of_the_network(teachers, curate):
    chosen = curate(teachers["onnx"], "onnx")
    assert chosen == curate(teachers["ours"], "ours") and chosen.count(b"\n") > 4


def test_features_of_a_file_are_refused_in_a_curation(teachers, curate):
    with pytest.raises(InputError, match="features are wanted, but the exported program .*teacher.onnx gives none"):
        curate(teachers["onnx"], "out", features=True)


def test_the_teacher_sees_its_own_normalisation_and_size(tiny, teachers, tmp_path, capsys):
    fixed = files.write(tmp_path / "fixed.onnx", files.small_network(), size=(32, 32))
    settings = taught_by(tiny, teachers["onnx"], path=str(fixed), mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    teacher = build_teacher(settings)
    said = ("images of 32 x 32 pixels (bicubic), mean [0.5, 0.5, 0.5], std [0.5, 0.5, 0.5]; the student sees 16 x 16 pixels, "
            "mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]")
    assert str(teacher.view) == teacher.identity.sees == said
    assert f"teacher fixed sees {said}\n" in capsys.readouterr().out
    assert build_teacher(settings, own_view=True).view is None


def test_without_keys_a_file_for_any_size_sees_the_very_images_of_the_student(tiny, teachers, capsys):
    assert build_teacher(taught_by(tiny, teachers["onnx"])).view is None
    assert "sees" not in capsys.readouterr().out


def test_weights_beside_the_file_belong_to_its_checksum(tmp_path):
    file = tmp_path / "x.onnx"
    file.write_bytes(b"graph")
    alone = onnx_digest(file)
    (tmp_path / "x.onnx.data").write_bytes(b"weights")
    with_weights = onnx_digest(file)
    (tmp_path / "x.onnx.data").write_bytes(b"other")
    assert len({alone, with_weights, onnx_digest(file)}) == 3


@pytest.mark.parametrize("changes, message", [
    ({"class_num": 5}, "disagree on the number of classes: SmallResNet has class_num 4, teacher has 5"),
    ({"pth": "x"}, "Arch.teacher has no option 'pth'. Did you mean 'path'"),
    ({"path": "gone.onnx"}, "the ONNX file gone.onnx does not exist"),
    ({"source": "onx"}, "source cannot be 'onx'. Did you mean 'onnx'"),
    ({"class_num": "four"}, "class_num must be"),
    ({"siz": 32}, "Arch.teacher has no option 'siz'. Did you mean 'size'"),
    ({"mean": [0.5]}, "mean must be a list of 3 numbers"),
    ({"outputs": {"pool": "poold"}}, "has no output 'poold'. Did you mean 'pooled'"),
    ({"engine": "eager"}, "has no option 'engine'")])
def test_keys_that_do_not_fit_are_refused(tiny, teachers, changes, message):
    with pytest.raises(InputError, match=message):
        build_distiller(taught_by(tiny, teachers["onnx"], **changes))
