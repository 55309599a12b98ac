"""A card is whole, of this version and true of its files, or refused."""
from __future__ import annotations

import json
import shutil

import pytest

from dedup.files import sha256_file
from ssld.errors import InputError
from ssld.export.card import Card, read_card, write_card

ARCH = {"name": "SmallResNet", "class_num": 2}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "student.pdparams").write_bytes(b"weights")
    (tmp_path / "inference.json").write_bytes(b"program")
    sums = {name: sha256_file(tmp_path / name) for name in ("student.pdparams", "inference.json")}
    write_card(tmp_path, Card("0.7.0", "SmallResNet", ARCH, 2, 12, 345, {"weights": "runs/x"}, sums, input=[3, 32, 48],
                              preprocess=[{"DecodeImage": {}}], class_names=["cat", "dog"], difference={"inference": 1e-7}))
    return tmp_path


def change(folder, **entries):
    content = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**content, **entries}))


def test_what_is_written_is_read(folder):
    card = read_card(folder)
    assert (card.backbone, card.arch, card.class_num, card.size) == ("SmallResNet", ARCH, 2, (32, 48))
    assert card.class_names == ["cat", "dog"] and card.difference == {"inference": 1e-7} and card.accuracy == {}


def test_the_names_in_the_file_are_those_of_the_attributes(folder):
    content = json.loads((folder / "card.json").read_text())
    assert list(content) == list(Card.__dataclass_fields__)


def test_a_folder_without_a_card_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no exported student: card.json cannot be read .*ssld export"):
        read_card(tmp_path / "nowhere")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_a_truncated_card_is_refused(folder, share):
    text = (folder / "card.json").read_text()
    (folder / "card.json").write_text(text[:int(share * len(text))])
    with pytest.raises(InputError, match="card.json is no whole card .*cut off"):
        read_card(folder)


@pytest.mark.parametrize("content", [[], {"made_of": {}, "files": {}}, "text"])
def test_the_card_of_something_else_is_refused(folder, content):
    (folder / "card.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="is not the card of an exported student"):
        read_card(folder)


def test_a_card_of_an_earlier_version_asks_for_another_export(folder):
    earlier = {"ssld": "0.6.0", "backbone": "SmallResNet", "class_num": 2, "input": [3, 16, 16], "tensors": 12,
               "parameters": 345, "inference_difference": 1e-7, "source": {}, "sha256": {}}
    (folder / "card.json").write_text(json.dumps(earlier))
    with pytest.raises(InputError, match=r"of another version of ssld, 0.6.0 \(arch is missing, unknown: inference_difference\)"
                                         ".*Export the student again"):
        read_card(folder)


@pytest.mark.parametrize("entries", [{"class_num": "2"}, {"class_names": ["cat"]}, {"class_names": "cat dog"},
                                     {"input": [3, 32]}, {"input": [3, "32", 32]}, {"preprocess": {}}, {"sha256": []},
                                     {"arch": None}])
def test_a_card_whose_values_do_not_fit_together_is_refused(folder, entries):
    change(folder, **entries)
    with pytest.raises(InputError, match="its values do not fit together"):
        read_card(folder, [])


def test_a_file_that_was_altered_is_refused_and_only_when_it_is_asked_for(folder):
    (folder / "inference.json").write_bytes(b"program!")
    with pytest.raises(InputError, match=r"inference.json \(8 bytes\) was truncated or altered.*SHA-256 differs"):
        read_card(folder)
    assert read_card(folder, ["student.pdparams"]).class_num == 2


def test_a_file_that_is_gone_is_refused_and_only_when_it_is_asked_for(folder):
    (folder / "inference.json").unlink()
    with pytest.raises(InputError, match="inference.json is missing, though card.json names it"):
        read_card(folder)
    assert read_card(folder, ["student.pdparams"]).tensors == 12


def test_a_file_that_is_not_on_the_card_is_refused(folder):
    shutil.copy(folder / "inference.json", folder / "student.onnx")
    with pytest.raises(InputError, match="student.onnx is not on the card beside it, which names: student.pdparams, inf"):
        read_card(folder, ["student.onnx"])
