from __future__ import annotations

import json

import numpy as np
import pytest

from dedup.files import sha256_file
from ssld.cli import main
from ssld.errors import InputError
from ssld.import_weights.run import import_weights
from ssld.models.weights import CARD, load_weights, read_state
from ssld.models.zoo import build_network

NAME = "DeiT_tiny_patch16_224"


@pytest.fixture(scope="module")
def tensors(real_shapes, seeded):
    """DeiT-Ti for pictures of 32 pixels and five classes."""
    shapes = {**real_shapes("deit_tiny_patch16_224"), "pos_embed": (1, 5, 192), "head.weight": (5, 192), "head.bias": (5,)}
    return seeded.tensors(shapes)


@pytest.fixture(scope="module")
def file(tensors, make_safetensors, tmp_path_factory):
    return make_safetensors(tmp_path_factory.mktemp("theirs") / "deit.safetensors", tensors)


def test_the_command_writes_weights_that_a_config_can_name_and_says_what_it_mapped(file, tensors, tmp_path, capsys):
    out = tmp_path / "made" / "teacher.pdparams"
    assert main(["import-weights", str(file), "--name", NAME, "-o", "img_size=32", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "blocks.3.attn.qkv.weight    blocks.3.attn.qkv.weight" in said and "192x576" in said
    assert "152 tensors mapped, 0 made by the network itself (-), 0 of the file not needed" in said
    assert f"Arch.teacher: {{name: {NAME}, class_num: 5, img_size: 32, pretrained: {out}}}" in said
    network = build_network(NAME, 5, img_size=32)
    load_weights(network, out)
    np.testing.assert_array_equal(network.state_dict()["head.weight"].numpy(), tensors["head.weight"].T)


def test_the_card_tells_checksums_and_where_each_file_came_from(file, tmp_path):
    for name in ("a.pdparams", "b.pdparams", "a.pdparams"):
        import_weights(file, NAME, tmp_path / name, options={"img_size": 32})
    card = json.loads((tmp_path / CARD).read_text())
    assert card["sha256"] == {name: sha256_file(tmp_path / name) for name in ("a.pdparams", "b.pdparams")}
    assert card["imported"]["a.pdparams"] == {"file": str(file), "sha256": sha256_file(file), "part": None, "name": NAME,
                                              "class_num": 5, "options": {"img_size": 32}}
    with open(tmp_path / "a.pdparams", "ab") as out:
        out.write(b"\0")
    with pytest.raises(InputError, match="a.pdparams .* was truncated or altered"):
        read_state(tmp_path / "a.pdparams")
    assert len(read_state(tmp_path / "b.pdparams")) == 152


def test_a_file_that_does_not_fit_is_refused_and_nothing_is_written(file, tmp_path, capsys):
    wrong = [["--name", NAME], ["--name", NAME, "-o", "img_size=32", "--class-num", "10"],
             ["--name", "DeiT_small_patch16_224", "-o", "img_size=32"], ["--name", "DeiT_tinny_patch16_224"],
             ["--name", NAME, "-o", "image_size=32"], ["--name", NAME, "-o", "img_size"],
             ["--name", NAME, "-o", "img_size=32", "--part", "model"]]
    said = []
    for arguments in wrong:
        assert main(["import-weights", str(file), *arguments, "--out", str(tmp_path / "made" / "x.pdparams")]) == 2
        said.append(capsys.readouterr().err)
    assert "does not fit DeiT_tiny_patch16_224" in said[0] and "-o img_size" in said[0]
    assert "its classifier has 5 classes, not 10. Leave --class-num out" in said[1]
    assert "other shapes" in said[2]
    assert "Did you mean 'DeiT_tiny_patch16_224'" in said[3]
    assert "no option 'image_size'. Did you mean 'img_size'" in said[4]
    assert "expected KEY=VALUE" in said[5]
    assert "has no network 'model'" in said[6]
    assert not (tmp_path / "made").exists()


def test_the_folder_of_a_checkpoint_is_left_alone(file, tmp_path):
    (tmp_path / CARD).write_text('{"step": 3, "sha256": {}}')
    with pytest.raises(InputError, match="is a checkpoint of a training run. Choose another folder for --out"):
        import_weights(file, NAME, tmp_path / "x.pdparams", options={"img_size": 32})
    (tmp_path / CARD).write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        import_weights(file, NAME, tmp_path / "x.pdparams", options={"img_size": 32})
    assert not (tmp_path / "x.pdparams").exists()
