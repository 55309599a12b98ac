from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from dedup.files import sha256_file, write_json
from ssld import cli
from ssld.data.manifest import Manifest
from ssld.errors import InputError
from ssld.predict import run as run_module
from ssld.predict.model import Model
from ssld.predict.run import predict, top_classes
from ssld.train.run import evaluate_weights

NAMES = ("ash", "birch tree", "cedar", "elm")


def rows_of(file) -> list[dict]:
    with open(file, newline="") as lines:
        return list(csv.DictReader(lines))


def test_predictions_are_those_that_the_evaluation_counts(trained, tmp_path, capsys):
    config, pictures, exported = trained
    predict(str(exported), [str(pictures)], topk=4, out=str(tmp_path / "out.json"))
    found = {entry["image"]: entry["top"] for entry in json.loads((tmp_path / "out.json").read_text())}
    listed = Manifest.read(pictures.parent / "val.txt", pictures.parent)
    hits = [found[str(listed.file(row))][0]["class"] == listed.label[row] for row in range(len(listed))]
    evaluation = evaluate_weights(config, str(exported / "student"))
    assert np.mean(hits) == evaluation.accuracy["top1"] and len(found) == len(listed) == evaluation.images
    assert json.loads((exported / "card.json").read_text())["accuracy"]["inference"]["accuracy"]["top1"] == np.mean(hits)


@pytest.mark.parametrize("engine", ["native", "eager"])
def test_engines_agree(exported, pictures, tmp_path, engine):
    for name in ("auto", engine):
        predict(str(exported), [str(pictures)], topk=4, out=str(tmp_path / f"{name}.csv"), engine=name, batch=3)
    for one, other in zip(rows_of(tmp_path / "auto.csv"), rows_of(tmp_path / f"{engine}.csv")):
        assert one["image"] == other["image"]
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-5)


def test_probabilities_add_up_and_carry_the_names_of_the_card(exported, pictures, tmp_path):
    predict(str(exported), [str(pictures)], topk=4, out=str(tmp_path / "out.csv"))
    rows = rows_of(tmp_path / "out.csv")
    assert len(rows) == 40 and {(row["class"], row["name"]) for row in rows} == {(str(i), name) for i, name in enumerate(NAMES)}
    for first in range(0, 40, 4):
        probabilities = [float(row["probability"]) for row in rows[first:first + 4]]
        assert sum(probabilities) == pytest.approx(1) and probabilities == sorted(probabilities, reverse=True)
        assert [row["rank"] for row in rows[first:first + 4]] == ["1", "2", "3", "4"]


def test_each_picture_is_a_line_and_the_speed_is_the_last(exported, pictures, capsys):
    summary = predict(str(exported), [str(pictures / "1.jpg"), str(pictures / "0.jpg")], topk=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{pictures}/1.jpg: ") and lines[1].startswith(f"{pictures}/0.jpg: ")
    assert lines[0].count(" %") == 2 and any(name in lines[0] for name in NAMES)
    assert lines[-1] == str(summary) and lines[-1].startswith("2 images in ") and "images/s (onednn_fp32" in lines[-1]


def test_unreadable_pictures_are_skipped_and_counted(exported, pictures, tmp_path, capsys):
    shutil.copytree(pictures, tmp_path / "in" / "b")
    (tmp_path / "in" / "a").mkdir()
    for name in ("a/1.jpg", "a/2.png", "b/5.jpg"):
        (tmp_path / "in" / name).write_bytes(b"no picture")
    status = cli.main(["predict", str(exported), str(tmp_path / "in"), "--batch", "2", "--out", str(tmp_path / "out.json")])
    said = capsys.readouterr()
    found = [entry["image"] for entry in json.loads((tmp_path / "out.json").read_text())]
    assert status == 0 and found == [str(tmp_path / "in" / "b" / f"{i}.jpg") for i in (0, 1, 2, 3, 4, 6, 7, 8, 9)]
    assert "9 images in" in said.out and "3 unreadable ones skipped" in said.out
    assert said.err.count("cannot be read; it is skipped") == 3 and "a/2.png" in said.err


def test_without_a_readable_picture_the_status_is_2_and_no_file_is_left(exported, tmp_path, capsys):
    (tmp_path / "one.jpg").write_text("no picture")
    status = cli.main(["predict", str(exported), str(tmp_path / "one.jpg"), "--out", str(tmp_path / "out.csv")])
    assert status == 2 and "none of 1 images can be read" in capsys.readouterr().err
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.jpg"]


@pytest.mark.parametrize("ending", ["csv", "json"])
def test_a_batch_that_fails_loses_none_of_the_rows_before_it(exported, pictures, tmp_path, monkeypatch, capsys, ending):
    asked = []

    def open_model(place, engine):
        model = run_module_open(place, engine)

        def logits(image):
            asked.append(len(image))
            if len(asked) == 3:
                raise MemoryError("too large")
            return model.logits(image)
        return Model(model.card, model.engine, logits)
    run_module_open = run_module.open_model
    monkeypatch.setattr(run_module, "open_model", open_model)
    out = tmp_path / f"out.{ending}"
    out.write_text("an earlier result")
    with pytest.raises(MemoryError):
        predict(str(exported), [str(pictures)], topk=1, batch=4, out=str(out))
    partial = (tmp_path / f"out.{ending}.partial").read_text()
    assert sum(f"/{number}.jpg" in partial for number in range(10)) == 8 and out.read_text() == "an earlier result"
    assert f"the rows of 8 images are in {out}.partial" in capsys.readouterr().err


def test_what_was_altered_after_the_export_is_refused(exported, pictures, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    with open(folder / "inference.pdiparams", "ab") as out:
        out.write(b"x")
    with pytest.raises(InputError, match=r"inference\.pdiparams .* was truncated or altered .*SHA-256"):
        predict(str(folder), [str(pictures)])


def test_an_export_that_saw_no_images_cannot_be_asked(exported, pictures, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    write_json(folder / "card.json", {**json.loads((folder / "card.json").read_text()), "preprocess": None})
    with pytest.raises(InputError, match="its card does not say how pictures are prepared"):
        predict(str(folder), [str(pictures)])


def test_pictures_of_another_size_than_the_network_takes_are_refused(exported, pictures, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    card = json.loads((folder / "card.json").read_text())
    write_json(folder / "card.json", {**card, "input": [3, 32, 32]})
    assert sha256_file(folder / "inference.json") == card["sha256"]["inference.json"]
    with pytest.raises(InputError, match=r"preprocess gives \[3, 16, 16\], but the network takes \[3, 32, 32\]"):
        predict(str(folder), [str(pictures)])


@pytest.mark.parametrize("arguments, message", [
    (["nowhere", "{pictures}"], "there is no model at nowhere"),
    (["{exported}/card.json", "{pictures}"], "there is no model at"),
    (["{exported}/student.onnx", "{pictures}"], "there is no model at"),
    (["{pictures}", "{pictures}"], "holds no exported student"),
    (["{exported}", "nowhere.jpg"], "no image or folder 'nowhere.jpg'"),
    (["{exported}", "{exported}"], "holds no image file"),
    (["{exported}", "{pictures}", "--topk", "5"], "topk 5 is more than the 4 classes"),
    (["{exported}", "{pictures}", "--topk", "0"], "topk must be a whole number of at least 1"),
    (["{exported}", "{pictures}", "--batch", "0"], "batch must be a whole number of at least 1"),
    (["{exported}", "{pictures}", "--engine", "onnx"], "student.onnx is not on the card"),
    (["{exported}", "{pictures}", "--engine", "onednn"], "Did you mean 'onednn_"),
    (["{exported}", "{pictures}", "--out", "x.txt"], "the ending of --out cannot be '.txt'")])
def test_what_cannot_be_done_is_said_in_one_paragraph(exported, pictures, arguments, message, capsys):
    filled = [argument.format(exported=exported, pictures=pictures) for argument in arguments]
    assert cli.main(["predict", *filled]) == 2
    assert message in capsys.readouterr().err


def test_equal_logits_are_told_apart_as_argmax_does():
    logits = np.array([[1.0, 3.0, 3.0, 2.0], [1e30, -1e30, 0, 0]], np.float32)
    first, second = top_classes(logits, 3)
    assert [guess.number for guess in first] == [1, 2, 3] and [guess.number for guess in second] == [0, 2, 3]
    assert first[0].probability == pytest.approx(1 / (2 + np.exp(-1) + np.exp(-2))) and second[0].probability == 1
    assert first[0].name == "" and str(first[0]) == "class 1 39.95 %"
