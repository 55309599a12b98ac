"""Weights of a network of other classes: everything is loaded but the classifier."""
from __future__ import annotations

import numpy as np
import paddle
import pytest

from ssld import build
from ssld.config import Config
from ssld.errors import InputError
from ssld.models.weights import load_weights, read_state, save_weights, write_state
from ssld.models.zoo import build_network


@pytest.fixture
def weights(tmp_path):
    """The weights of a network of three classes."""
    paddle.seed(1)
    save_weights(build_network("SmallResNet", 3, width=4), tmp_path / "three.pdparams")
    return tmp_path / "three.pdparams"


def write_without(weights, name_parts):
    """A file without the tensors whose name holds one of these; returns it."""
    state = {name: paddle.to_tensor(value) for name, value in read_state(weights).items()
             if not any(part in name for part in name_parts)}
    file = weights.with_name("part.pdparams")
    with open(file, "wb") as out:
        write_state(state, out)
    return file


def student(file, **options):
    return build.build_student(Config({"Arch": {"student": {"name": "SmallResNet", "class_num": 5, "width": 4,
                                                            "pretrained": str(file), **options}}}))


@pytest.mark.parametrize("dropped", [(), ("fc.",)])
def test_all_but_the_classifier_is_loaded_whether_the_file_has_one_or_not(weights, dropped):
    paddle.seed(2)
    fresh = build_network("SmallResNet", 5, width=4).state_dict()["fc.weight"].numpy()
    paddle.seed(2)
    state, given = student(write_without(weights, dropped), new_classifier=True).state_dict(), read_state(weights)
    assert state.keys() == given.keys()
    for name, tensor in state.items():
        expected = given[name] if not name.startswith("fc.") else tensor.numpy()
        np.testing.assert_array_equal(tensor.numpy(), expected, err_msg=name)
    np.testing.assert_array_equal(state["fc.weight"].numpy(), fresh)


@pytest.mark.parametrize("options, dropped, message", [
    ({}, (), r"other shapes \(2\): fc.weight"), ({"new_classifier": False}, ("fc.",), r"only in the network \(2\): fc.weight"),
    ({"new_classifier": True}, ("stem",), "only in the network"), ({"new_classifier": True, "width": 8}, (), "other shapes")])
def test_anything_else_that_does_not_fit_is_refused(weights, options, dropped, message):
    with pytest.raises(InputError, match=f"(?s)does not fit SmallResNet.*{message}"):
        student(write_without(weights, dropped), **options)


def test_a_tensor_that_is_left_over_is_refused_even_beside_a_new_classifier(weights):
    with pytest.raises(InputError, match=r"(?s)only in the file \(\d+\): stem"):
        network = build_network("SmallResNet", 5, width=4)
        network.stem = paddle.nn.Identity()
        load_weights(network, weights, new="fc")
