"""A teacher that sees other images than the student, wherever a run asks it."""
from __future__ import annotations

import inspect
import json
from copy import deepcopy

import numpy as np
import paddle
import pytest

from ssld import build, build_own_view
from ssld import build_teacher as build_teacher_module
from ssld.build_ensemble import build_teachers, facts_of_teachers
from ssld.build_expansion import run_expansion, teacher_embedding
from ssld.build_networks import VIEW_KEYS
from ssld.build_own_view import view_in_training
from ssld.build_teacher import build_teacher
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import save_weights
from ssld.models.zoo import build_network
from ssld.teachers.agreement import Agreement
from ssld.teachers.eager import EagerEngine
from ssld.teachers.live import LiveTeacher
from ssld.teachers.onednn import runs_bf16
from ssld.teachers.record import TeacherRecord
from ssld.train.run import train

HALF = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture
def taught(tiny, tmp_path):
    """taught(size=..., ...) gives the tiny run a teacher with such keys; taught([("Train", op), ...]) normalises by another
    operator there, None for none."""
    paddle.seed(9)
    network = build_network("SmallResNet", 4, width=8)
    for _ in range(3):
        network(paddle.randn([8, 3, 16, 16]) * 2 + 1)
    save_weights(network, tmp_path / "teacher.pdparams")

    def taught(changes=(), **keys) -> Config:
        settings = deepcopy(tiny)
        settings["Loss"]["Train"] = [{"JSDivLoss": {}}]
        settings["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "engine": "eager",
                                       "pretrained": str(tmp_path / "teacher"), **keys}
        for mode, op in changes:
            ops = settings["DataLoader"][mode]["dataset"]["transform_ops"]
            place = ops.index("NormalizeImage")
            ops[place:place + 1] = [op] if op else []
        return Config(settings, "run.yaml")
    return taught


def prepared(image):
    """The tiny run's images as a teacher with HALF and twice the size sees them, by numpy alone."""
    seen = [np.reshape(values, (1, 3, 1, 1)) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    pixels = image.numpy().astype(np.float64) * seen[1] + seen[0]
    return paddle.to_tensor(((pixels - 0.5) / 0.25).repeat(2, axis=2).repeat(2, axis=3).astype(np.float32))


OTHER = {"size": 32, "interpolation": "nearest", **HALF}


def test_without_keys_the_teacher_sees_the_very_images_of_the_student(taught):
    teacher = build_teacher(taught())
    assert teacher.view is None and teacher.identity.sees is None
    batch = next(build.build_trainer(taught()).loader.batches(0, 1))
    np.testing.assert_array_equal(teacher(batch).logits.numpy(), teacher.engine(batch["image"]).numpy())


@pytest.mark.parametrize("keys", [{}, {"size": None, "mean": None}, {"interpolation": "area"},
                                  {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}])
def test_keys_that_change_nothing_make_no_view_and_no_line(taught, keys, capsys):
    assert build_teacher(taught(**keys)).view is None
    assert "sees" not in capsys.readouterr().out


@pytest.mark.parametrize("scale", [1, "1.0/255.0"])
def test_the_same_normalisation_of_pixels_up_to_255_is_known_as_such(taught, scale):
    whitest = 255 if scale == 1 else 1
    op = {"NormalizeImage": {"scale": scale, "mean": [0.485 * whitest] * 3, "std": [0.225 * whitest] * 3}}
    changes = [(mode, op) for mode in ("Train", "Eval")]
    assert view_in_training(taught(changes, mean=[0.485] * 3, std=[0.225] * 3)) is None
    seen = view_in_training(taught(changes, **HALF)).seen
    np.testing.assert_allclose([*seen.mean, *seen.std], [0.485] * 3 + [0.225] * 3)


def test_what_a_key_leaves_open_is_as_the_student_has_it(taught):
    view = view_in_training(taught(mean=[0.5, 0.5, 0.5]))
    assert view.own.mean == (0.5, 0.5, 0.5) and view.own.std == view.seen.std == (0.229, 0.224, 0.225) and view.size is None
    assert view_in_training(taught(size=32)).own is None


def test_a_run_teaches_measures_and_records_what_the_teacher_sees(taught, tmp_path, capsys):
    config = taught(**OTHER)
    assert train(config) == tmp_path / "run" / "latest"
    line = ("teacher SmallResNet sees images of 32 x 32 pixels (nearest), mean [0.5, 0.5, 0.5], std [0.25, 0.25, 0.25]"
            "; the student sees 16 x 16 pixels, mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]")
    assert capsys.readouterr().out.count(line) == 1
    record = json.loads((tmp_path / "run" / "teacher.json").read_text())
    assert f"teacher SmallResNet sees {record['sees']}" == line
    trainer = build.build_trainer(config)
    engine = EagerEngine(trainer.model.teacher.engine.network)
    by_hand = trainer.evaluate(lambda image: engine(prepared(image)))
    assert record["accuracy"]["result"] == json.loads(json.dumps(by_hand._asdict()))


def test_the_losses_of_a_run_are_those_of_a_teacher_asked_about_images_prepared_by_hand(taught):
    trainer = build.build_trainer(taught(**OTHER))
    model, batch = trainer.model, next(trainer.loader.batches(0, 1))
    model.eval()
    found = float(model(batch).total)
    outputs = LiveTeacher(EagerEngine(model.teacher.engine.network))({"image": prepared(batch["image"])})
    assert found == pytest.approx(float(model.methods[0](model.ask_student(batch), outputs, batch)), rel=1e-4)
    plain = LiveTeacher(EagerEngine(model.teacher.engine.network))(batch)
    assert found != pytest.approx(float(model.methods[0](model.ask_student(batch), plain, batch)), rel=1e-2)


def test_methods_of_features_are_made_for_the_teachers_own_size(taught):
    config = taught(size=32)
    config.data["Loss"]["Train"] = [{"CorrelationLoss": {"teacher_tap": "stage2"}}]
    trainer = build.build_trainer(config)
    assert trainer.model.methods[0].of_teacher.weight.shape[0] == 16 * 16 * 16
    assert np.isfinite(float(trainer.model(next(trainer.loader.batches(0, 1))).total))


@pytest.mark.skipif(not runs_bf16(), reason="this CPU has no bfloat16")
def test_bfloat16_is_compared_with_float32_on_what_the_teacher_sees(taught, monkeypatch):
    compared = []

    def look(engine, reference, images):
        compared.extend(images)
        return Agreement(24, 1.0, 0.0, 0.0)

    monkeypatch.setattr(build_teacher_module, "measure_agreement", look)
    train(taught(**OTHER, engine="onednn_bf16"))
    plain = []
    monkeypatch.setattr(build_teacher_module, "measure_agreement",
                        lambda *args: plain.extend(args[2]) or Agreement(24, 1.0, 0.0, 0.0))
    train(taught(engine="onednn_bf16"), restart=True)
    assert len(plain) == len(compared) == 3
    for student, teacher in zip(plain, compared):
        np.testing.assert_allclose(teacher.numpy(), prepared(student).numpy(), atol=1e-5)


def test_what_was_measured_in_another_view_counts_for_nothing(taught, tmp_path):
    identities = {size: build_teacher(taught(size=size)).identity for size in (24, 32)}
    record = TeacherRecord(tmp_path, identities[24])
    record.once("accuracy", {}, lambda: {"top1": 0.5})
    record.write()
    assert TeacherRecord(tmp_path, identities[24]).measured and not TeacherRecord(tmp_path, identities[32]).measured


def test_images_that_are_the_teachers_own_already_are_not_touched(taught, capsys):
    assert build_teacher(taught(**OTHER), own_view=True).view is None
    teachers = build_teachers(taught(**OTHER))
    assert teachers[0].live.view is None and teachers[0].view.size == 32
    assert "sees" not in facts_of_teachers(teachers)["teachers"][0] and "sees" not in capsys.readouterr().out


def test_each_of_several_teachers_keeps_its_view_of_the_pixels(taught):
    config = taught(**OTHER)
    config.data["Arch"] = {"teachers": [{**config.data["Arch"]["teacher"], "size": size} for size in (16, 32)]}
    assert [(teacher.view.size, teacher.live.view) for teacher in build_teachers(config)] == [(16, None), (32, None)]


NORMALISED = {"NormalizeImage": {"mean": [0.1, 0.1, 0.1]}}


@pytest.mark.parametrize("changes, keys, message", [
    ([], {"siz": 32}, "Arch.teacher has no option 'siz'"),
    ([], {"size": "large"}, "Arch.teacher: size must be a whole number"),
    ([], {"size": -1}, "Arch.teacher: size must be a whole number of at least 1"),
    ([], {"mean": [0.5]}, "Arch.teacher: mean must be a list of 3 numbers"),
    ([], {"std": [0.5, 0, 0.5]}, "Arch.teacher: std must be above 0"),
    ([], {"size": 32, "interpolation": "lanczos"}, "Arch.teacher: interpolation cannot be 'lanczos'"),
    ([("Train", None)], HALF, "Train.dataset.transform_ops has no NormalizeImage, so what the student sees can"),
    ([("Eval", None)], HALF, "Eval.dataset.transform_ops has no NormalizeImage"),
    ([("Eval", NORMALISED)], HALF, r"Eval.dataset.transform_ops normalises by mean \[0.1, 0.1, 0.1\].*Train"),
    ])
def test_keys_and_images_that_do_not_fit_are_refused_before_weights_are_read(taught, changes, keys, message):
    with pytest.raises(InputError, match=message):
        build_teacher(taught(changes, **keys, pretrained="gone"))


def test_blue_green_and_red_are_not_mistaken_for_red_green_and_blue(taught):
    config = taught(**HALF)
    config.data["DataLoader"]["Train"]["dataset"]["transform_ops"][0] = {"DecodeImage": {"to_rgb": False}}
    with pytest.raises(InputError, match="DecodeImage gives BGR, but the teacher's mean and std are those of RGB"):
        build_teacher(config)


def test_another_normalisation_of_the_evaluation_list_is_fine_for_who_needs_none(taught):
    assert view_in_training(taught([("Eval", NORMALISED)], size=32)).size == 32


def test_the_keys_are_those_of_a_view_that_labels_crops():
    config, seen, *keys = inspect.signature(build_own_view._own_view).parameters
    assert sorted(keys) == sorted(VIEW_KEYS)


@pytest.fixture
def curation(taught, tmp_path, make_list):
    """The config of a curation: the folder of its results, the view of the pool, and keys of its teacher."""
    for name, count, labelled in (("pool", 12, False), ("known", 4, True), ("labelled", 4, True)):
        make_list(tmp_path, name, count, labelled=labelled)
    lists = {name: {"cls_label_path": str(tmp_path / f"{file}.txt")}
             for name, file in (("pool", "pool"), ("evaluation", "known"), ("labelled", "labelled"))}

    def settings(output: str, pixels: int, normalise, **keys) -> Config:
        resize = {"ResizeImage": {"size": pixels, "interpolation": "nearest"}}
        return Config({"Global": {"output_dir": str(tmp_path / output), "device": "cpu"},
                       "Arch": {"teacher": taught(**keys).data["Arch"]["teacher"]}, "Lists": lists,
                       "Score": {"transform_ops": ["DecodeImage", resize, normalise, "ToCHWImage"], "top": 4, "features": True},
                       "Select": {"name": "top_k", "k": 2}}, "expand.yaml")
    return settings


def test_scores_and_features_of_a_curation_are_those_of_the_teachers_own_view(curation, tmp_path):
    by_hand = curation("by_hand", 32, {"NormalizeImage": HALF})
    by_keys = curation("by_keys", 16, "NormalizeImage", **OTHER)
    for config in (by_hand, by_keys):
        run_expansion(config)
    for name in ("teacher_class", "score", "feature"):
        found, expected = (np.load(tmp_path / folder / "scores" / f"{name}.npy") for folder in ("by_keys", "by_hand"))
        np.testing.assert_allclose(found.astype(float), expected.astype(float), atol=2e-3)
    files = [str(tmp_path / "pool" / f"{row}.jpg") for row in range(5)]
    found, expected = (teacher_embedding(config)(files) for config in (by_keys, by_hand))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_scores_of_another_view_are_not_taken_for_these(curation):
    run_expansion(curation("out", 16, "NormalizeImage"))
    with pytest.raises(InputError, match="holds scores of other inputs: network was"):
        run_expansion(curation("out", 16, "NormalizeImage", size=32))


def test_a_curation_refuses_a_view_that_makes_no_sense(curation):
    with pytest.raises(InputError, match="expand.yaml: Arch.teacher: size must be"):
        run_expansion(curation("out", 16, "NormalizeImage", size=0))
