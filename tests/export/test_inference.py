"""The static model, and what runs it."""
from __future__ import annotations

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.export import inference
from ssld.export.card import read_card
from ssld.export.comparison import network_logits
from ssld.export.inference import export_inference, native_program
from ssld.export.student import Student, export_student


@pytest.fixture
def network(network_of):
    return network_of("SmallResNet", width=4)


@pytest.fixture
def wrong_onednn(monkeypatch):
    """oneDNN that computes something else."""
    class Wrong(inference.OneDNNProgram):
        def __call__(self, image):
            return super().__call__(image) + 1
    monkeypatch.setattr(inference, "OneDNNProgram", Wrong)


def test_the_two_files_appear_and_the_difference_is_returned(network, tmp_path):
    assert export_inference(network, tmp_path, (32, 32)) < 1e-4
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(inference.FILES)


def test_paddles_own_kernels_give_the_networks_logits_to_the_bit(network, tmp_path, images):
    export_inference(network, tmp_path, (32, 32))
    np.testing.assert_array_equal(native_program(tmp_path / "inference")(images), network_logits(network, images))


def test_where_onednn_is_wrong_the_card_and_a_warning_say_so(network, images, tmp_path, wrong_onednn, capsys):
    export_student(Student(network, {"name": "SmallResNet", "class_num": 5, "width": 4}), tmp_path, images)
    card = read_card(tmp_path)
    assert card.engine == "native" and card.difference == {"inference": 0.0} and card.same_top1 == {"inference": 1.0}
    assert "oneDNN differs from this network by" in capsys.readouterr().err


def test_a_model_that_no_engine_computes_is_refused_and_nothing_is_left(network, tmp_path, wrong_onednn, monkeypatch):
    monkeypatch.setattr(inference, "native_program", lambda prefix: lambda image: np.zeros((len(image), 5), np.float32))
    with pytest.raises(InputError, match="the exported inference model differs from the network by 1 of the largest logit"):
        export_inference(network, tmp_path / "out", (32, 32))
    assert not (tmp_path / "out").exists()
