from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from ssld.data.dataset import Visit
from ssld.models.zoo import build_network
from ssld.teachers import agreement, engines
from ssld.teachers.agreement import IMAGES, Agreement, measure_agreement, settle_precision, spread_images
from ssld.teachers.eager import EagerEngine
from ssld.teachers.engines import BFloat16Engine, make_engine
from ssld.teachers.onednn import runs_bf16

needs_bf16 = pytest.mark.skipif(not runs_bf16(), reason="this CPU has no bfloat16")


class Answers:
    """An engine that gives these logits, batch by batch."""

    name = "answers"

    def __init__(self, *logits):
        self.logits = iter([paddle.to_tensor(np.float32(batch)) for batch in logits])

    def __call__(self, image):
        return next(self.logits)


class Offset(nn.Layer):
    """Linear in the image, by way of features with a large common offset that the classifier takes away again."""

    def __init__(self, offset: float):
        super().__init__()
        rng = np.random.default_rng(0)
        self.features, self.classifier = nn.Conv2D(3, 8, 1), nn.Linear(8 * 16, 6)
        self.features.bias.set_value(paddle.full([8], offset))
        weight = rng.normal(size=(128, 6)).astype(np.float32)
        self.classifier.weight.set_value(paddle.to_tensor(weight - weight.mean(0)))

    def forward(self, image):
        return self.classifier(self.features(image).flatten(1))


def batches(count: int = 4, size: int = 4) -> list:
    draws = (np.random.default_rng(i).normal(size=(16, 3, size, size)) for i in range(count))
    return [paddle.to_tensor(draw.astype(np.float32)) for draw in draws]


def compared(network, images) -> tuple[BFloat16Engine, Agreement]:
    engine = make_engine(network, "onednn_bf16")
    return engine, measure_agreement(engine.candidate, engine.reference, images)


def test_the_agreement_is_that_of_the_formulas():
    p = np.array([[[2, 0, 0], [0, 1, 0]], [[0, 0, 3], [1, 0, 0]]])
    q = np.array([[[1, 0, 0], [0, 0, 2]], [[0, 0, 3], [0.5, 0, 0]]])
    softmax = [np.exp(z) / np.exp(z).sum(-1, keepdims=True) for z in (p, q)]
    difference = np.abs(softmax[0] - softmax[1])
    found = measure_agreement(Answers(*p), Answers(*q), batches(2))
    assert (found.images, found.top1) == (4, 0.75)
    assert found.mean_difference == pytest.approx(difference.mean(), rel=1e-5)
    assert found.moved == pytest.approx(difference.sum(-1).mean() / 2, rel=1e-5)


@pytest.mark.parametrize("top1, moved, holds", [(1.0, 0.0, True), (0.98, 0.02, True), (0.979, 0.0, False), (1.0, 0.021, False),
                                                (float("nan"), 0.0, False), (1.0, float("nan"), False)])
def test_an_agreement_holds_within_both_limits(top1, moved, holds):
    assert Agreement(256, top1, moved, 0.0).holds is holds


@needs_bf16
def test_bfloat16_agrees_on_an_ordinary_network_and_is_used(capsys):
    paddle.seed(3)
    network = build_network("SmallResNet", 5)
    engine, found = compared(network, batches(size=32))
    assert found.holds and 0 < found.moved < 0.01 and found.images == 64
    settle_precision(engine, lambda: found)
    image = batches(1, 32)[0]
    assert engine.name == "onednn_bf16"
    assert np.abs(engine(image).numpy() - EagerEngine(network)(image).numpy()).max() > 1e-5
    assert "engine: onednn_bf16; compared with float32, 100.00 % of 64 images keep" in capsys.readouterr().out


@needs_bf16
def test_bfloat16_is_refused_where_it_loses_the_differences_between_images(capsys):
    assert compared(Offset(0.0), batches())[1].holds
    engine, found = compared(Offset(1000.0), batches())
    assert not found.holds and found.top1 < 0.9 and found.moved > 0.05
    settle_precision(engine, lambda: found)
    image = batches(1)[0]
    np.testing.assert_array_equal(engine(image).numpy(), make_engine(engine.network)(image).numpy())
    assert engine.name == "onednn_fp32"
    assert "engine: onednn_fp32 instead of onednn_bf16: " in capsys.readouterr().err


@pytest.mark.parametrize("answer", [RuntimeError("std::exception"), float("nan")])
def test_an_engine_that_fails_or_gives_no_numbers_does_not_agree(answer):
    class Broken:
        name = "broken"

        def __call__(self, image):
            if isinstance(answer, Exception):
                raise answer
            return paddle.full([len(image), 5], answer)

    network = build_network("SmallResNet", 5)
    found = measure_agreement(Broken(), EagerEngine(network), batches(size=32))
    assert not found.holds and "it cannot run the network, or its answers are not finite" in str(found)


def test_a_cpu_without_bfloat16_stays_in_float32_and_compares_nothing(monkeypatch, capsys):
    monkeypatch.setattr(engines, "runs_bf16", lambda: False)
    engine = make_engine(build_network("SmallResNet", 5), "onednn_bf16")
    settle_precision(engine, lambda: pytest.fail("compared"))
    assert engine.name == "onednn_fp32" and engine(batches(1, 32)[0]).shape == [16, 5]
    assert "onednn_fp32 instead of onednn_bf16: a CPU at work here has neither avx512_bf16 nor" in capsys.readouterr().err


@needs_bf16
def test_another_image_size_for_which_bfloat16_fails_is_run_in_float32(monkeypatch, capsys):
    engine = make_engine(build_network("SmallResNet", 5), "onednn_bf16")
    settle_precision(engine, lambda: Agreement(256, 1.0, 0.0, 0.0))
    engine(batches(1, 32)[0])
    monkeypatch.setattr(engine.candidate, "_export", lambda size: (_ for _ in ()).throw(RuntimeError("std::exception")))
    assert engine(batches(1, 48)[0]).shape == [16, 5] and engine.name == "onednn_fp32"
    assert "onednn_fp32 instead of onednn_bf16, since it cannot run the network (std::exception)" in capsys.readouterr().err


class Numbered:
    """A dataset whose images hold their row and pass."""

    def __init__(self, size: int):
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, visit: Visit) -> dict:
        return {"image": np.float32([visit.row, visit.pass_])}


def rows_of(size: int, batch_size: int = 32) -> np.ndarray:
    return np.concatenate([image.numpy() for image in spread_images(Numbered(size), batch_size)])


def test_the_images_are_spread_evenly_over_the_list_in_its_first_pass():
    rows = rows_of(10_000)
    assert len(rows) == IMAGES and (rows[:, 1] == 0).all()
    assert rows[0, 0] == 0 and rows[-1, 0] == 9999 and np.ptp(np.diff(rows[:, 0])) <= 1
    np.testing.assert_array_equal(rows_of(7, 4)[:, 0], np.arange(7))


def test_two_processes_share_the_images(monkeypatch):
    shares = []
    for number in range(2):
        monkeypatch.setattr(agreement, "rank", lambda number=number: number)
        monkeypatch.setattr(agreement, "world_size", lambda: 2)
        shares.append(rows_of(1000)[:, 0])
    monkeypatch.undo()
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), rows_of(1000)[:, 0])
