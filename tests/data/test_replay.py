from __future__ import annotations

import cv2
import numpy as np
import pytest

from ssld.data.dataset import Visit
from ssld.data.manifest import Manifest
from ssld.data.replay import Replay, ReplayDataset
from ssld.data.transforms import build_transforms
from ssld.errors import InputError
from ssld.softlabels.crops import Crops, draw_crops

OPS = [{"DecodeImage": {}}, {"RandCropImage": {"size": 12, "interpolation": "nearest"}}, "RandFlipImage", "NormalizeImage",
       "ToCHWImage"]


class Fixed:
    """Crops of a list whose images have the same size, and labels that say which crop of which image they are."""

    def __init__(self, width, height, count=8):
        self.width, self.height, self.count = width, height, count

    def size(self, row):
        return self.height, self.width

    def visit(self, visit, label):
        drawn = draw_crops(0, str(visit.row), self.width, self.height, self.count)
        take = np.arange(visit.pass_, visit.pass_ + visit.crops) % self.count
        return Crops(drawn.box[take], drawn.flip[take]), {"which": np.stack([np.full(len(take), visit.row), take], 1)}


def written(folder, pixels, count=3):
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), pixels[:, :, ::-1])
    (folder / "list.txt").write_text("".join(f"{n}.png {n}\n" for n in range(count)))
    return Manifest.read(folder / "list.txt")


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (24, 36, 3)).astype(np.uint8)


def expected(picture, box, flip):
    top, left, height, width = box
    crop = cv2.resize(picture[top:top + height, left:left + width], (12, 12), interpolation=cv2.INTER_NEAREST)
    crop = crop[:, ::-1] if flip else crop
    return ((crop / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).transpose(2, 0, 1)


def test_each_crop_is_cut_and_mirrored_as_it_was_stored(tmp_path, picture):
    labels = Fixed(36, 24)
    dataset = ReplayDataset(written(tmp_path, picture), build_transforms(OPS, "here"), labels)
    sample = dataset[Visit(1, 0, 8)]
    crops, _ = labels.visit(Visit(1, 0, 8), 1)
    assert {True, False} == set(crops.flip.tolist()) and sample["label"] == 1 and sample["index"] == 1
    for image, box, flip in zip(sample["image"], crops.box, crops.flip):
        np.testing.assert_allclose(image, expected(picture, box, flip), atol=1e-5)


def test_swapped_axes_or_a_flip_drawn_anew_would_be_noticed(picture):
    replay = Replay(build_transforms(OPS, "here"))
    crops = draw_crops(0, "0", 24, 24, 8)
    right = np.stack(replay(picture[:, :24], crops, np.random.default_rng(0)))
    swapped = np.stack(replay(picture[:, :24], Crops(crops.box[:, [1, 0, 3, 2]], crops.flip), np.random.default_rng(0)))
    unflipped = np.stack(replay(picture[:, :24], Crops(crops.box, ~crops.flip), np.random.default_rng(0)))
    assert abs(right - swapped).mean() > 0.5 and abs(right - unflipped).mean() > 0.5


def test_a_batch_holds_crop_after_crop_of_all_images_with_their_labels(tmp_path, picture):
    dataset = ReplayDataset(written(tmp_path, picture), build_transforms(OPS, "here"), Fixed(36, 24))
    batch = dataset.join([dataset[Visit(row, 2, 4)] for row in (2, 0)])
    assert batch["which"].tolist() == [[row, crop] for crop in (2, 3, 4, 5) for row in (2, 0)]
    assert batch["label"].tolist() == batch["index"].tolist() == [2, 0] * 4 and batch["image"].shape == (8, 3, 12, 12)
    np.testing.assert_array_equal(batch["image"][3], dataset[Visit(0, 2, 4)]["image"][1])


def test_a_jpeg_gives_the_same_crops_as_its_decoded_pixels(tmp_path, picture):
    smooth = cv2.GaussianBlur(cv2.resize(picture, (72, 48)), (0, 0), 3)
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth)
    (tmp_path / "list.txt").write_text("a.jpg 0\n")
    labels = Fixed(72, 48)
    dataset = ReplayDataset(Manifest.read(tmp_path / "list.txt"), build_transforms(OPS, "here"), labels)
    pixels = cv2.imread(str(tmp_path / "a.jpg"))[:, :, ::-1]
    crops, _ = labels.visit(Visit(0, 0, 8), 0)
    for image, box, flip in zip(dataset[Visit(0, 0, 8)]["image"], crops.box, crops.flip):
        np.testing.assert_allclose(image, expected(pixels, box, flip), atol=1e-5)


def test_photometric_operators_act_on_each_crop_and_repeat_with_the_visit(tmp_path, picture):
    ops = OPS[:3] + [{"ColorJitter": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}}] + OPS[3:]
    plain, jittered = (ReplayDataset(written(tmp_path, picture), build_transforms(ops, "here"), Fixed(36, 24), seed=1)
                       for ops in (OPS, ops))
    one, again, other = (np.stack(jittered[Visit(0, pass_, 4)]["image"]) for pass_ in (0, 0, 8))
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 0.01            # crops 0 to 3 in another pass
    assert abs(one - np.stack(plain[Visit(0, 0, 4)]["image"])).max() > 0.01


def test_a_resized_copy_has_its_crops_scaled_and_says_so_once(tmp_path, capsys):
    picture = np.kron(np.random.default_rng(1).integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    half = ReplayDataset(written(tmp_path, picture[::2, ::2]), build_transforms(OPS, "here"), Fixed(72, 48))
    (tmp_path / "whole").mkdir()
    whole = ReplayDataset(written(tmp_path / "whole", picture), build_transforms(OPS, "here"), Fixed(72, 48))
    differ = np.stack(half[Visit(0, 0, 8)]["image"]) != np.stack(whole[Visit(0, 0, 8)]["image"])
    assert differ.mean() < 0.15                     # the same blocks, but for rounding at their edges
    half[Visit(1, 0, 8)]
    assert capsys.readouterr().err.count("36 x 24 pixels, not 72 x 48") == 1


def test_another_picture_under_the_same_name_is_refused(tmp_path, picture):
    dataset = ReplayDataset(written(tmp_path, picture), build_transforms(OPS, "here"), Fixed(24, 36))
    with pytest.raises(InputError, match=r"list.txt:1 \(0.png\) has 36 x 24 pixels, but had 24 x 36 when its soft labels"):
        dataset[Visit(0, 0, 2)]


def test_an_image_that_vanished_is_replaced_by_the_next_with_that_ones_labels(tmp_path, picture):
    dataset = ReplayDataset(written(tmp_path, picture), build_transforms(OPS, "here"), Fixed(36, 24))
    (tmp_path / "1.png").unlink()
    sample = dataset[Visit(1, 0, 2)]
    assert sample["unreadable"] == 1 and sample["index"] == 2 and sample["which"][:, 0].tolist() == [2, 2]


@pytest.mark.parametrize("ops, message", [
    ([OPS[0], {"ResizeImage": {"size": 20}}, *OPS[1:]], "must begin with DecodeImage and RandCropImage"),
    ([OPS[0], *OPS[2:]], "must begin with DecodeImage and RandCropImage"),
    ([*OPS[:3], {"CropImage": {"size": 8}}, *OPS[3:]], "CropImage would move pixels of a stored crop"),
    ([*OPS[:2], {"RandFlipImage": {"flip_code": 0}}, *OPS[3:]], "one RandFlipImage with flip_code 1")])
def test_operators_that_do_not_fit_stored_crops_are_refused(ops, message):
    with pytest.raises(InputError, match=message):
        Replay(build_transforms(ops, "here"))
