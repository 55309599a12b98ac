"""The classifier on features that are computed once against the classifier of the whole network on images."""
from __future__ import annotations

import copy
import json

import numpy as np
import paddle
import pytest

from ssld.config import Config
from ssld.distiller import Term
from ssld.errors import InputError
from ssld.methods.base import Method
from ssld.methods.ce import CELoss
from ssld.models.freeze import Frozen
from ssld.models.small_resnet import SmallResNet
from ssld.models.weights import fingerprint, read_state, save_weights
from ssld.models.zoo import build_network
from ssld.train.classifier_stage import Answers, ClassifierDistiller, classifier_of, widths_of
from ssld.train.run import evaluate_weights
from ssld.train.runlog import read_events

NETWORKS = {"SmallResNet": {"width": 4}, "MobileNetV3_small_x0_35": {}}     # the second drops out before its classifier


@pytest.fixture
def fix(tiny, tmp_path):
    """fix(network) makes the tiny run a Fix stage of that network at 32 pixels; returns the weights that it begins with."""
    def fix(network: str = "SmallResNet", **settings):
        paddle.seed(1)
        student = {"name": network, "class_num": 4, **NETWORKS[network]}
        start = settled(build_network(**student))
        save_weights(start, tmp_path / "start.pdparams")
        tiny["Arch"]["student"] = {**student, "pretrained": str(tmp_path / "start"), "trainable": ["classifier"]}
        tiny["Global"].update(fix_resolution=True, epochs=6, **settings)
        tiny["Optimizer"]["lr"]["learning_rate"] = 0.2
        for mode in ("Train", "Eval"):
            tiny["DataLoader"][mode]["dataset"]["transform_ops"] = [
                "DecodeImage", {"ResizeImage": {"size": 32}}, "NormalizeImage", "ToCHWImage"]
        return start
    return fix


def settled(network):
    """The network with batch-norm statistics of its own; with the first ones the answer of some hardly varies."""
    layers = [layer for layer in network.sublayers() if hasattr(layer, "_momentum")]
    for layer in layers:
        layer._momentum = 0.01          # running = 0.01 * running + 0.99 * batch, so no variance is tiny
    network.train()
    network(paddle.randn([16, 3, 32, 32]))
    network.eval()
    return network


@pytest.fixture
def taught(tiny, tmp_path):
    """Gives the run a teacher, whom it learns from besides the labels."""
    paddle.seed(2)
    save_weights(build_network("SmallResNet", 4, width=8), tmp_path / "teacher.pdparams")
    tiny["Arch"]["teacher"] = {"name": "SmallResNet", "class_num": 4, "width": 8, "pretrained": str(tmp_path / "teacher")}
    tiny["Loss"]["Train"] = [{"JSDivLoss": {}}, {"CELoss": {"weight": 0.3}}]


def largest_difference(one, other) -> float:
    """Between two runs' last students, relative to the size of the classifier's weights."""
    one, other = read_state(one / "latest"), read_state(other / "latest")
    return max(np.abs(one[name] - other[name]).max() for name in one) / np.abs(one["fc.weight"]).max()


def accuracies(folder) -> list:
    return [(event["step"], event["top1"], event["top5"], event["images"]) for event in read_events(folder)
            if event["event"] == "eval"]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("sections", [{}, {"EMA": {"decay": 0.7}, "Global": {"update_freq": 2}}])
def test_the_classifier_is_that_of_the_uncached_run(run, fix, network, sections):
    start = fix(network)
    cached = run("cached", **sections)
    uncached = run("uncached", **{**sections, "Global": {**sections.get("Global", {}), "cache_features": False}})
    assert largest_difference(cached, uncached) < 1e-6
    assert np.abs(read_state(cached / "latest")["fc.weight"] - start.fc.weight.numpy()).max() > 0.01
    assert accuracies(cached) == accuracies(uncached)
    losses = [[event["loss"] for event in read_events(folder) if event["event"] == "train"] for folder in (cached, uncached)]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_the_teacher_teaches_the_same_when_it_is_asked_once(run, fix, taught):
    fix("MobileNetV3_small_x0_35")
    cached, uncached = run("cached"), run("uncached", Global={"cache_features": False})
    assert largest_difference(cached, uncached) < 1e-6 and accuracies(cached) == accuracies(uncached)
    assert np.load(cached / "features" / "train" / "teacher_logits.npy").shape == (24, 4)


def test_the_fast_engine_ends_with_the_same_classifier_but_for_rounding(run, fix):
    fix()
    fast, uncached = run("fast", Global={"features_engine": "onednn_fp32"}), run("uncached", Global={"cache_features": False})
    # its features differ by 1e-6 of their size, and training a linear classifier is convex: differences do not grow
    assert 0 < largest_difference(fast, uncached) < 1e-6


def test_everything_but_the_classifier_is_equal_to_the_bit_to_the_input_file(run, fix):
    start = fix("MobileNetV3_small_x0_35")
    before, after = fingerprint(start.state_dict()), read_state(run() / "latest")
    after = {name: paddle.to_tensor(value) for name, value in after.items()}
    after.update({"fc.weight": start.fc.weight, "fc.bias": start.fc.bias})
    assert fingerprint(after) == before


@pytest.mark.parametrize("step", [0, 7, 18])
def test_an_interrupted_run_ends_as_an_uninterrupted_one(run, fix, stop_at, assert_same_run, step):
    fix(save_steps=2)
    whole = run("whole", EMA={"decay": 0.7})
    stop_at(step)
    if step < 18:
        with pytest.raises(KeyboardInterrupt):
            run("parts", EMA={"decay": 0.7})
    stop_at(None)
    assert_same_run(whole, run("parts", EMA={"decay": 0.7}))


def test_the_reported_accuracy_is_that_of_the_saved_file(run, fix, tiny, make_list, tmp_path):
    make_list(tmp_path, "val", 101)
    fix("MobileNetV3_small_x0_35", keep_checkpoints=9)
    folder = run()
    assert len({top1 for _, top1, _, _ in accuracies(folder)}) > 1
    for step, top1, top5, images in accuracies(folder):
        found = evaluate_weights(Config(tiny, "run.yaml"), str(folder / "checkpoints" / f"step_{step:08d}"), "eager")
        assert (top1, top5, images) == (found.accuracy["top1"], found.accuracy["top5"], found.images)


def test_each_image_goes_through_the_networks_once(run, fix, taught, monkeypatch):
    fix()
    seen = []
    original = Answers.__call__
    monkeypatch.setattr(Answers, "__call__", lambda self, image: seen.append(len(image)) or original(self, image))
    run()
    assert sum(seen) == 24 + 10


def test_a_dry_run_computes_nothing(run, fix):
    fix()
    assert not (run(dry_run=True) / "features").exists()


def test_an_unreadable_image_is_counted_and_named_and_never_trained_on(run, fix, tiny, tmp_path, capsys):
    fix()
    (tmp_path / "train" / "5.jpg").write_bytes(b"no picture")
    tiny["DataLoader"]["Train"]["dataset"]["max_bad_fraction"] = 0.05
    cached, uncached = run("cached"), run("uncached", Global={"cache_features": False})
    assert json.loads((cached / "features" / "train" / "card.json").read_text())["unreadable"] == [5]
    assert largest_difference(cached, uncached) < 1e-6
    assert [e["unreadable"] for e in read_events(cached) if e["event"] == "train"][-1] == 1
    said = capsys.readouterr().err
    assert said.count("train.txt:6 (train/5.jpg) cannot be read; another image takes its place") == 2


def test_an_unreadable_evaluation_image_is_left_out(run, fix, tiny, tmp_path):
    fix()
    (tmp_path / "val" / "3.jpg").write_bytes(b"no picture")
    tiny["DataLoader"]["Eval"]["dataset"]["max_bad_fraction"] = 0.1
    cached, uncached = run("cached"), run("uncached", Global={"cache_features": False})
    assert accuracies(cached) == accuracies(uncached) and accuracies(cached)[0][3] == 9


def test_too_many_unreadable_images_are_an_error(run, fix, tmp_path):
    fix()
    (tmp_path / "train" / "5.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"(?s)1 of 24 images cannot be read.*train\.txt:6 \(train/5\.jpg\)"):
        run()


def student_and_frozen():
    student = SmallResNet(3, width=4)
    return student, Frozen(student, ["classifier"])


def test_a_loss_that_needs_more_than_logits_is_refused():
    class Needy(Method):
        needs = frozenset({"features"})

    with pytest.raises(InputError, match="Needy needs features.*cache_features: false"):
        student, frozen = student_and_frozen()
        ClassifierDistiller(student, None, [Term(Needy())], frozen)


def test_names_and_state_are_those_of_the_whole_student():
    student, frozen = student_and_frozen()
    model = ClassifierDistiller(student, None, [Term(CELoss())], frozen)
    assert set(model.state_dict()) == {f"student.{name}" for name in student.state_dict()}
    assert [name for name, p in model.named_parameters() if not p.stop_gradient] == ["student.fc.weight", "student.fc.bias"]


def test_answers_are_what_the_classifier_sees_and_leave_the_student_as_it_is():
    student, frozen = student_and_frozen()
    student.train()
    before = copy.deepcopy(student.state_dict())
    answers = Answers(student, None, (32, 32))
    image = paddle.randn([5, 3, 32, 32])
    features = answers(image)["features"]
    assert features.shape == (5, widths_of(student, frozen, None)["features"])
    assert student.training and not student.fc.weight.stop_gradient
    assert fingerprint(before) == fingerprint(student.state_dict())
    student.eval()
    np.testing.assert_array_equal(classifier_of(student, frozen)(paddle.to_tensor(features)).numpy(), student(image).numpy())
