from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from ssld.data import decode
from ssld.data import transforms as t
from ssld.data.dataset import ImageNetDataset  # noqa: F401  (registers what a run registers)
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def red_file(tmp_path):
    """A lossless picture of one colour: R 250, G 100, B 10."""
    cv2.imwrite(str(tmp_path / "red.png"), np.full((24, 40, 3), (10, 100, 250), np.uint8))
    return tmp_path / "red.png"


@pytest.mark.parametrize("ops", [
    [], ["NormalizeImage"], ["NormalizeImage", "ToCHWImage"],
    [{"ResizeImage": {"resize_short": 12}}, {"CropImage": {"size": 8}}, "NormalizeImage", "ToCHWImage"],
    [{"RandCropImage": {"size": 8}}, "RandFlipImage", "NormalizeImage", "ToCHWImage"],
    [{"RandCropImage": {"size": 8}}, "NormalizeImage", "ToCHWImage"], ["RandFlipImage", "ToCHWImage"]])
@pytest.mark.parametrize("to_rgb", [True, False])
def test_channels_are_in_the_order_asked_for_whatever_follows(red_file, rng, ops, to_rgb):
    result = build_transforms([{"DecodeImage": {"to_rgb": to_rgb}}, *ops], "here")(red_file, rng)
    pixels = result.transpose(1, 2, 0) if "ToCHWImage" in ops else result
    colour = np.array([250, 100, 10] if to_rgb else [10, 100, 250])
    expected = (colour / 255 - MEAN) / STD if "NormalizeImage" in ops else colour
    np.testing.assert_allclose(pixels, np.broadcast_to(expected, pixels.shape), atol=1e-6)


def test_images_are_upright_after_their_orientation_tag(tmp_path, rng):
    image_module = pytest.importorskip("PIL.Image")
    picture = image_module.new("RGB", (40, 20), (0, 0, 255))
    picture.paste((255, 0, 0), (0, 0, 20, 20))                  # left half red
    exif = picture.getexif()
    exif[0x0112] = 6                                            # to be turned clockwise: left becomes top
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    pixels = build_transforms([{"DecodeImage": {}}], "here")(tmp_path / "turned.jpg", rng)
    assert pixels.shape == (40, 20, 3) and pixels[5, 10, 0] > 200 and pixels[35, 10, 2] > 200


@pytest.mark.parametrize("ignored", [False, True])
def test_the_orientation_tag_can_be_ignored_before_or_after_construction(tmp_path, rng, ignored):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rng.integers(0, 256, (20, 40, 3), dtype=np.uint8)).save(tmp_path / "turned.jpg", exif=exif)
    early, late = (build_transforms([{"DecodeImage": options}], "here") for options in ({"ignore_orientation": ignored}, {}))
    late.operators[0].ignore_orientation = ignored
    assert late(tmp_path / "turned.jpg", rng).shape == ((20, 40, 3) if ignored else (40, 20, 3))
    np.testing.assert_array_equal(early(tmp_path / "turned.jpg", rng), late(tmp_path / "turned.jpg", rng))


@pytest.mark.parametrize("kind, mode", [("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "RGBA")])
@pytest.mark.parametrize("ignored", [False, True])
def test_files_of_other_kinds_under_the_name_of_a_jpeg_are_red_green_blue(tmp_path, rng, kind, mode, ignored):
    Image.new("RGB", (12, 8), (200, 200, 200)).convert(mode).save(tmp_path / "n0_1.JPEG", kind)
    pixels = build_transforms([{"DecodeImage": {"ignore_orientation": ignored}}], "here")(tmp_path / "n0_1.JPEG", rng)
    assert pixels.shape == (8, 12, 3) and pixels.dtype == np.uint8 and abs(int(pixels.mean()) - 200) < 6


@pytest.fixture
def photograph(tmp_path):
    """A JPEG file of 90 x 67 pixels, and its pixels as OpenCV reads them, RGB."""
    noise = cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 12, 3), dtype=np.uint8), (90, 67))
    cv2.imwrite(str(tmp_path / "photograph.jpg"), noise)
    return tmp_path / "photograph.jpg", cv2.imread(str(tmp_path / "photograph.jpg"))[:, :, ::-1]


@pytest.mark.parametrize("to_rgb", [True, False])
@pytest.mark.parametrize("ops", [
    [{"RandCropImage": {"size": 24}}, "RandFlipImage"], [{"CropImage": {"size": 30}}], ["RandFlipImage"], [],
    [{"ResizeImage": {"resize_short": 40}}, {"CropImage": {"size": 32}}],
    [{"RandCropImage": {"size": 24}}, {"CropImage": {"size": 9}}]])
@pytest.mark.parametrize("decoder", [decode.with_pillow, decode.FASTEST])
def test_decoding_what_is_needed_gives_the_pixels_of_decoding_everything(photograph, ops, to_rgb, decoder):
    file, pixels = photograph
    pipeline = build_transforms([{"DecodeImage": {"to_rgb": to_rgb}}, *ops], "here")
    pipeline.operators[0].decode_jpeg = decoder
    operators = build_transforms(["DecodeImage", *ops], "here").operators[1:]
    for seed in range(12):
        image, ours, plain = pixels, np.random.default_rng(seed), np.random.default_rng(seed)
        for operator in operators:
            image = operator(np.ascontiguousarray(image), plain)
        np.testing.assert_array_equal(pipeline(file, ours), image if to_rgb else image[:, :, ::-1])
        assert ours.random() == plain.random()


def test_a_file_that_is_cut_off_is_read_as_opencv_reads_it(photograph, tmp_path, rng):
    encoded = photograph[0].read_bytes()
    cut = encoded[:len(encoded) * 2 // 3]
    (tmp_path / "cut.jpg").write_bytes(cut)
    result = build_transforms(["DecodeImage"], "here")(tmp_path / "cut.jpg", rng)
    np.testing.assert_array_equal(result, cv2.imdecode(np.frombuffer(cut, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1])


@pytest.mark.parametrize("name, mode", [("grey.png", "L"), ("alpha.png", "RGBA"), ("moving.gif", "P"), ("cmyk.jpg", "CMYK")])
def test_other_kinds_of_files_become_three_channels_too(tmp_path, rng, name, mode):
    image_module = pytest.importorskip("PIL.Image")
    image_module.new("RGB", (12, 8), (200, 200, 200)).convert(mode).save(tmp_path / name)
    pixels = build_transforms([{"DecodeImage": {}}], "here")(tmp_path / name, rng)
    assert pixels.shape == (8, 12, 3) and pixels.dtype == np.uint8 and abs(int(pixels.mean()) - 200) < 6


@pytest.mark.parametrize("size, expected", [((20, 30), (8, 12)), ((30, 20), (12, 8)), ((8, 9), (8, 9)), ((4, 7), (8, 14)),
                                            ((300, 301), (8, 8))])
def test_resizing_sets_the_shorter_side_and_keeps_the_aspect(size, expected, rng):
    assert t.ResizeImage(resize_short=8)(np.zeros((*size, 3), np.uint8), rng).shape[:2] == expected


@pytest.mark.parametrize("name, flag", [
    ("nearest", cv2.INTER_NEAREST), ("bilinear", cv2.INTER_LINEAR), ("bicubic", cv2.INTER_CUBIC), ("area", cv2.INTER_AREA),
    ("lanczos", cv2.INTER_LANCZOS4)])
def test_resizing_to_a_size_is_that_of_opencv(image, rng, name, flag):
    result = t.ResizeImage(size=[7, 5], interpolation=name)(image, rng)
    np.testing.assert_array_equal(result, cv2.resize(image, (7, 5), interpolation=flag))
    assert t.ResizeImage(size=6)(image, rng).shape == (6, 6, 3)


PILLOW = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "area": Image.BOX,
          "lanczos": Image.LANCZOS}


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("size", [(7, 5), (60, 50), (30, 20)])
def test_the_backend_pil_resizes_as_pillow_does(image, rng, name, size):
    result = t.ResizeImage(size=list(size), interpolation=name, backend="pil")(image, rng)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.asarray(Image.fromarray(image).resize(size, PILLOW[name])))


def test_pil_smooths_what_shrinks_and_cv2_does_not(rng):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::8] = 255                       # an eighth of the picture, 32 on average
    smooth, rough = (t.ResizeImage(size=8, backend=backend)(stripes, rng) for backend in ("pil", "cv2"))
    assert smooth.min() > 15 and smooth.max() < 60 and (rough == 0).all()


@pytest.mark.parametrize("backend", ["cv2", "pil"])
def test_a_random_crop_is_its_box_cut_out_and_resized(photograph, image, backend):
    crop, file = t.RandCropImage([12, 9], backend=backend), photograph[0].read_bytes()
    lazy = decode.JpegPicture(file, decode.ordinary_jpeg(file))
    for source in (image, lazy):
        for seed in range(5):
            left, top, width, height = crop.box(source.shape[1], source.shape[0], np.random.default_rng(seed))
            pixels = np.ascontiguousarray(np.asarray(source)[top:top + height, left:left + width])
            expected = t.ResizeImage(size=[12, 9], backend=backend)(pixels, None)
            np.testing.assert_array_equal(crop.cut(source, left, top, width, height), expected)
            np.testing.assert_array_equal(crop(source, np.random.default_rng(seed)), expected)


@pytest.mark.parametrize("code, mirrored", [(1, np.s_[:, ::-1]), (0, np.s_[::-1]), (-1, np.s_[::-1, ::-1])])
def test_mirroring_is_not_left_to_chance(image, code, mirrored):
    for _ in range(5):
        np.testing.assert_array_equal(t.RandFlipImage(code).mirror(image), image[mirrored])


def test_the_crop_is_the_centre(image, rng):
    np.testing.assert_array_equal(t.CropImage(8)(image, rng), image[6:14, 11:19])
    np.testing.assert_array_equal(t.CropImage([10, 6])(image, rng), image[7:13, 10:20])
    np.testing.assert_array_equal(t.CropImage([30, 20])(image, rng), image)


def test_a_crop_larger_than_the_image_is_refused(image, rng):
    with pytest.raises(InputError, match="a crop of 21 x 21 does not fit into an image of 30 x 20; put ResizeImage before it"):
        t.CropImage(21)(image, rng)


@pytest.mark.parametrize("code, mirrored", [(1, np.s_[:, ::-1]), (0, np.s_[::-1]), (-1, np.s_[::-1, ::-1])])
def test_half_of_the_images_are_mirrored(image, rng, code, mirrored):
    results = [t.RandFlipImage(code)(image, rng) for _ in range(400)]
    flipped = [np.array_equal(result, image[mirrored]) for result in results]
    assert all(flip or np.array_equal(result, image) for flip, result in zip(flipped, results))
    assert 150 < sum(flipped) < 250                             # 200 expected, five standard deviations


@pytest.mark.parametrize("scale, factor", [("1.0/255.0", 1 / 255), (1 / 255, 1 / 255), ("0.5", 0.5), (1, 1), ("1e-3", 1e-3)])
def test_normalising_equals_the_formula(image, rng, scale, factor):
    result = t.NormalizeImage(scale, [0.1, 0.2, 0.3], [0.5, 1.0, 2.0])(image, rng)
    expected = (image.astype(np.float64) * factor - [0.1, 0.2, 0.3]) / [0.5, 1.0, 2.0]
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_the_default_normalisation_is_that_of_imagenet(image, rng):
    np.testing.assert_allclose(t.NormalizeImage()(image, rng), (image / 255 - MEAN) / STD, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8)])
def test_what_cannot_be_normalised_is_refused_instead_of_mangled(wrong, rng):
    with pytest.raises(InputError, match=r"NormalizeImage takes uint8 \[H, W, 3\]"):
        t.NormalizeImage()(wrong, rng)


def test_the_layout_changes_to_contiguous_planes(image, rng):
    result = t.ToCHWImage()(image, rng)
    np.testing.assert_array_equal(result, np.moveaxis(image, 2, 0))
    assert result.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("columns, rows", [(500, 375), (64, 64), (16, 300), (301, 7), (1, 1), (3, 2)])
@pytest.mark.parametrize("log", [False, True])
def test_random_crops_lie_inside_the_image(rng, columns, rows, log):
    crop = t.RandCropImage(8, use_log_aspect=log)
    for _ in range(300):
        left, top, width, height = crop.box(columns, rows, rng)
        assert width >= 1 and height >= 1 and 0 <= left <= columns - width and 0 <= top <= rows - height


def test_areas_and_aspects_of_random_crops_fill_their_ranges(rng):
    boxes = np.array([t.RandCropImage(8).box(1000, 1000, rng) for _ in range(4000)], float)
    area, aspect = boxes[:, 2] * boxes[:, 3] / 1e6, boxes[:, 2] / boxes[:, 3]
    # rounding down to pixels takes up to 2 / 280 of the smallest boxes
    assert 0.078 < area.min() < 0.1 and 0.95 < area.max() <= 1
    assert 0.74 < aspect.min() < 0.77 and 1.31 < aspect.max() < 1.35
    # on a square image an area beyond min(aspect, 1 / aspect) does not fit, so the mean lies below (0.08 + 1) / 2
    bound = np.minimum(1, np.minimum(*[rng.uniform(3 / 4, 4 / 3, 100000) ** sign for sign in (1, -1)]))
    assert abs(area.mean() - ((bound + 0.08) / 2).mean()) < 0.02
    centre = boxes[:, 0] + boxes[:, 2] / 2
    assert abs(centre.mean() - 500) < 15                        # standard error about 3


@pytest.mark.parametrize("log, mean", [(False, (3 / 4 + 4 / 3) / 2), (True, (4 / 3 - 3 / 4) / np.log(16 / 9))])
def test_the_aspect_ratio_is_drawn_uniformly_or_log_uniformly(rng, log, mean):
    crop = t.RandCropImage(8, scale=[0.3, 0.4], use_log_aspect=log)
    boxes = np.array([crop.box(4000, 4000, rng) for _ in range(20000)], float)
    assert abs((boxes[:, 2] / boxes[:, 3]).mean() - mean) < 0.005       # standard error 0.0012; the two means differ by 0.03


def test_a_random_crop_is_resized_to_the_size_asked_for(image, rng):
    assert t.RandCropImage([12, 7])(image, rng).shape == (7, 12, 3)


def test_the_same_generator_gives_the_same_pixels(red_file, image, tmp_path):
    cv2.imwrite(str(tmp_path / "noise.png"), image)
    pipeline = build_transforms([{"DecodeImage": {}}, {"RandCropImage": {"size": 8}}, "RandFlipImage", "NormalizeImage",
                                 "ToCHWImage"], "here")
    first, second, other = (pipeline(tmp_path / "noise.png", np.random.default_rng(seed)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any() and pipeline.random


def test_a_pipeline_knows_whether_it_is_random():
    assert not build_transforms([{"DecodeImage": {}}, {"CropImage": {"size": 8}}, "NormalizeImage"], "here").random


@pytest.mark.parametrize("ops, message", [
    ([], r"^here: transform_ops must begin with DecodeImage"),
    (["NormalizeImage", {"DecodeImage": {}}], r"^here: transform_ops must begin with DecodeImage"),
    ([{"DecodImage": {}}], r"^here\[0\]: there is no transform 'DecodImage'. Did you mean 'DecodeImage'"),
    ([{"DecodeImage": {}}, {"CropImage": {"sise": 3}}], r"^here\[1\]\.CropImage has no option 'sise'. Did you mean 'size'"),
    ([{"DecodeImage": {}}, {"CropImage": {}}], r"^here\[1\]\.CropImage needs the option 'size'"),
    ([{"DecodeImage": {}, "ToCHWImage": {}}], r"^here\[0\]: expected one operator"),
    ([{"DecodeImage": {"channel_first": True}}], "channel_first is not supported"),
    ([{"DecodeImage": {}}, {"ResizeImage": {}}], "give either resize_short or size"),
    ([{"DecodeImage": {}}, {"ResizeImage": {"size": 3, "resize_short": 3}}], "give either resize_short or size"),
    ([{"DecodeImage": {}}, {"ResizeImage": {"size": [3, 4, 5]}}], "size must be a number"),
    ([{"DecodeImage": {}}, {"ResizeImage": {"size": 3, "interpolation": "cubic"}}],
     "interpolation cannot be 'cubic'. Did you mean 'bicubic'"),
    ([{"DecodeImage": {}}, {"ResizeImage": {"size": 3, "backend": "pillow"}}], "backend cannot be 'pillow'. Did you mean"),
    ([{"DecodeImage": {}}, {"RandCropImage": {"size": 3, "backend": "PIL"}}], "backend cannot be 'PIL'. Known: cv2, pil"),
    ([{"DecodeImage": {"ignore_orientation": "yes"}}], "ignore_orientation must be true or false"),
    ([{"DecodeImage": {}}, {"RandCropImage": {"size": 3, "scale": 0.08}}], "scale must be a list of 2 numbers"),
    ([{"DecodeImage": {}}, {"RandCropImage": {"size": 3, "scale": [0.5, 0.1]}}], "scale must be .low, high."),
    ([{"DecodeImage": {}}, {"RandCropImage": {"size": 3, "ratio": [0, 1]}}], "ratio must be .low, high."),
    ([{"DecodeImage": {}}, {"RandFlipImage": {"flip_code": 2}}], "flip_code must be"),
    ([{"DecodeImage": {}}, {"NormalizeImage": {"mean": 0.5}}], "mean must be a list of 3 numbers"),
    ([{"DecodeImage": {}}, {"NormalizeImage": {"std": [1, 1, 0]}}], "std must be above 0"),
    ([{"DecodeImage": {}}, {"NormalizeImage": {"scale": "__import__('os')"}}], "scale must be a number or a quotient")])
def test_a_wrong_list_of_operators_is_refused_with_its_place(ops, message):
    with pytest.raises(InputError, match=message):
        build_transforms(ops, "here")
