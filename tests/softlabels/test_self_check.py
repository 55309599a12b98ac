"""The self-check passes where labels belong to the crops that training cuts, and fails wherever they do not."""
import numpy as np
import pytest

from ssld.data.manifest import Manifest
from ssld.data.transforms import DecodeImage
from ssld.errors import InputError
from ssld.softlabels import self_check as module
from ssld.softlabels.codec import Codec
from ssld.softlabels.crop_batches import CropBatches, Grouping
from ssld.softlabels.crops import Crops
from ssld.softlabels.self_check import TOLERANCE, self_check
from ssld.softlabels.views import View


@pytest.fixture
def check(workshop):
    """The self-check of a list; by default of pictures of all shapes, with one teacher."""
    def check(names=None, seeds=(1,), sizes=(32,), crops=20):
        images = Manifest(workshop.folder, names or workshop.images.path, [-1] * len(names or workshop.images.path))
        return self_check(images, workshop.drawn(images, crops), Grouping.of(crops, 8), workshop.ensemble(seeds, sizes))
    return check


def test_labels_belong_to_their_crops_for_wide_high_square_and_turned_pictures(check):
    found = check()
    assert (found.images, found.crops) == (4, 64) and -1e-6 < found.worst < TOLERANCE / 10
    assert found.mirrored > TOLERANCE and "not proven" not in str(found) and found.seconds > 0


def test_an_ensemble_is_checked_in_all_its_views(check):
    found = check(seeds=(1, 2), sizes=(32, 24))
    assert found.worst < TOLERANCE / 10 < found.mirrored


def test_labels_of_crops_that_were_not_mirrored_are_found(check, monkeypatch):
    cut = View.cut
    monkeypatch.setattr(View, "cut", lambda view, image, crops: cut(view, image, Crops(crops.box, np.zeros_like(crops.flip))))
    message = (r"self-check: .*, crop \d+ .*, mirrored\): the teacher's answer to the crop as training cuts it lies [\d.]+ "
               r"above the entropy of its stored label, more than 0.0001")
    with pytest.raises(InputError, match=message):
        check()


def test_boxes_whose_axes_were_exchanged_when_stored_are_found(check, monkeypatch):
    crops = Codec.crops
    monkeypatch.setattr(Codec, "crops", lambda codec, records: _turned(crops(codec, records)))
    with pytest.raises(InputError, match="square.png, crop .* above the entropy of its stored label"):
        check(["square.png"])           # whatever its axes, a box is inside of a square picture


@pytest.mark.parametrize("name", ["wide.png", "high.png"])
def test_boxes_that_were_read_with_other_axes_are_found_in_pictures_that_are_not_square(check, monkeypatch, name):
    cut = View.cut
    monkeypatch.setattr(View, "cut", lambda view, image, crops: cut(view, image.transpose(1, 0, 2), _turned(crops)))
    with pytest.raises(InputError, match=f"{name}, crop .* above the entropy of its stored label"):
        check([name])


def test_pictures_that_were_turned_upright_for_the_teacher_are_found(check, monkeypatch):
    def upright(batches, *given):
        init(batches, *given)
        batches.decode = DecodeImage()

    init = CropBatches.__init__
    monkeypatch.setattr(CropBatches, "__init__", upright)
    with pytest.raises(InputError, match="turned.jpg has 64 x 48 pixels, but had 48 x 64"):
        check()
    check(["wide.png", "high.png"])             # whose files say nothing about turning


def test_a_picture_turned_by_half_keeps_its_size_and_is_found_by_its_label(check, workshop, monkeypatch):
    def upside_down(batches, *given):
        init(batches, *given)
        decode = batches.decode
        batches.decode = lambda file, rng: np.asarray(decode(file, rng))[::-1, ::-1]

    init = CropBatches.__init__
    monkeypatch.setattr(CropBatches, "__init__", upside_down)
    with pytest.raises(InputError, match="above the entropy of its stored label"):
        check(["wide.png"])


def test_labels_that_were_stored_for_the_next_crop_are_found(check, monkeypatch):
    encode = Codec.encode
    monkeypatch.setattr(Codec, "encode", lambda codec, answers, crops: encode(codec, np.roll(answers, 1, 0), crops))
    with pytest.raises(InputError, match="above the entropy of its stored label"):
        check()


def test_teachers_that_cannot_tell_mirrored_crops_are_said_to_prove_nothing_about_flips(check, workshop, monkeypatch):
    blind = workshop.ensemble()
    network = blind.members[0][0].network
    network.fc.weight.set_value(network.fc.weight * 0)
    images = workshop.images
    found = self_check(images, workshop.drawn(images, 20), Grouping.of(20, 8), blind)
    assert found.mirrored <= TOLERANCE and "flips are not proven" in str(found)


def test_the_image_with_a_turning_tag_is_looked_for(workshop):
    rows = module._telling_rows(workshop.images)
    assert [workshop.images.path[row] for row in rows] == ["wide.png", "high.png", "turned.jpg", "square.png"]


def test_images_that_cannot_be_read_are_passed_over_and_a_list_of_such_is_an_error(check, workshop, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "good.png").write_bytes((workshop.folder / "wide.png").read_bytes())
    images = Manifest(tmp_path, ["gone.png", "broken.png", "good.png"], [-1] * 3)
    assert module._telling_rows(images).tolist() == [2]
    with pytest.raises(InputError, match="none of the images of .* that were tried can be read, from gone.png on"):
        module._telling_rows(images.take(np.array([0, 1])))


def _turned(crops: Crops) -> Crops:
    """Left for top and width for height."""
    return Crops(crops.box[:, [1, 0, 3, 2]], crops.flip)
