"""Image operators of old files."""
from __future__ import annotations

import numpy as np
import pytest

from ssld.data.transforms import build_transforms
from ssld.errors import InputError

OPS = "DataLoader.Train.dataset.transform_ops"


def test_the_layout_that_2x_changed_by_itself_stands_in_the_list(v2):
    ops = v2().data["DataLoader"]["Train"]["dataset"]["transform_ops"]
    assert ops == [{"DecodeImage": {"to_rgb": True}}, {"RandCropImage": {"size": 32}}, {"RandFlipImage": {"flip_code": 1}},
                   "AutoAugment", {"NormalizeImage": {"scale": 0.00392157, "mean": [0.485, 0.456, 0.406],
                                                      "std": [0.229, 0.224, 0.225]}}, "ToCHWImage"]


def test_a_list_that_changes_the_layout_itself_is_left_alone(v1, v2):
    assert v1().data["DataLoader"]["Train"]["dataset"]["transform_ops"].count("ToCHWImage") == 1
    ops = v2(f"{OPS}: [DecodeImage: null, ToCHWImage: {{}}]").data["DataLoader"]["Train"]["dataset"]["transform_ops"]
    assert ops == ["DecodeImage", "ToCHWImage"]


def test_the_translated_operators_give_the_picture_that_2x_trained_on(v2, tmp_path, make_list):
    """RGB, resized and cut by OpenCV's rule, normalised, channels first."""
    import cv2
    make_list(tmp_path, "val", 1, size=48)
    ops = v2().data["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    found = build_transforms(ops, "ops")(tmp_path / "val" / "0.jpg", np.random.default_rng(0))
    image = cv2.resize(cv2.imread(str(tmp_path / "val" / "0.jpg"))[:, :, ::-1], (36, 36))[2:34, 2:34]
    expected = (image * 0.00392157 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(found, expected.transpose(2, 0, 1), atol=1e-5)


def test_early_files_without_decode_image_get_one(v2, said):
    translation = v2(f"{OPS}.0")
    assert translation.data["DataLoader"]["Train"]["dataset"]["transform_ops"][0] == {"DecodeImage": {"to_rgb": True}}
    assert "begins with DecodeImage" in said(translation)


def test_pillow_resizes_where_the_file_says_so_and_its_decoding_is_dropped_with_what_it_means(v2, said):
    translation = v2(f"{OPS}.0.DecodeImage.backend: pil",
                     f"{OPS}.1.RandCropImage: {{size: 32, interpolation: bicubic, backend: pil}}")
    assert {"RandCropImage": {"size": 32, "interpolation": "bicubic", "backend": "pil"}} in translation.data["DataLoader"][
        "Train"]["dataset"]["transform_ops"]
    assert "DecodeImage.backend (" in said(translation) and "upright" in said(translation)
    assert "backend" not in said(v2(f"{OPS}.1.RandCropImage: {{size: 32, backend: cv2}}"))


@pytest.mark.parametrize("change, message", [
    (f"{OPS}: null", "transform_ops must be a list of operators, not None"), (f"{OPS}: []", "must be a list of operators"),
    (f"{OPS}.0.DecodeImage.channel_first: true", "channel_first: True is not supported: put ToCHWImage at the end"),
    (f"{OPS}.0.DecodeImage.to_np: true", "to_np: True is not supported"),
    (f"{OPS}.4.NormalizeImage.order: chw", "order: 'chw' is not supported"),
    (f"{OPS}.4.NormalizeImage.output_fp16: true", "output_fp16: True is not supported"),
    (f"{OPS}.4.NormalizeImage.channel_num: 4", "channel_num: 4 is not supported"),
    (f"{OPS}.1: {{RandAugment: {{num_layers: 2}}}}", "PaddleClas's operator of this name always applies what it draws"),
    (f"{OPS}.1: {{RandomErasing: {{EPSILON: 0.25}}}}", "PaddleClas's operator of this name erases behind NormalizeImage"),
    (f"{OPS}.1: {{RandCropImage: 32}}", r"transform_ops\[1\].RandCropImage must hold 'key: value' settings, not 32"),
    (f"{OPS}.1: {{A: 1, B: 2}}", r"transform_ops\[1\]: expected one name"),
    ("DataLoader.Train.dataset.relabel: true", "relabel: True is not supported")])
def test_what_would_change_the_pictures_is_refused(v2, change, message):
    with pytest.raises(InputError, match=f"^old.yaml: DataLoader.Train.dataset.*{message}"):
        v2(change)


def test_a_sampler_that_says_nothing_has_paddleclass_defaults(v2, said):
    train = v2("DataLoader.Train.sampler: {name: DistributedBatchSampler, batch_size: 4}").data["DataLoader"]["Train"]
    assert train["sampler"] == {"name": "DistributedBatchSampler", "batch_size": 4, "shuffle": False, "drop_last": False}
    assert "last batch of an epoch is filled up" in said(v2())
    assert "last batch" not in said(v2("DataLoader.Train.sampler.drop_last: true"))
