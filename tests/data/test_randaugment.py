"""RandAugment against Pillow, and who is drawn how often."""
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ssld.data import randaugment
from ssld.data.randaugment import RandAugment
from ssld.data.tones import Toned
from ssld.data.transforms import build_transforms
from ssld.errors import InputError

FILL = (124, 116, 104)          # round(255 * (0.485, 0.456, 0.406))
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
ENHANCEMENTS = {"Color": ImageEnhance.Color, "Contrast": ImageEnhance.Contrast, "Brightness": ImageEnhance.Brightness,
                "Sharpness": ImageEnhance.Sharpness}
NAMES = ["AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", *ENHANCEMENTS, "ShearX",
         "ShearY", "TranslateX", "TranslateY"]


def picture(height=40, width=56, seed=0):
    """Uneven brightness per channel, so that every operation shows."""
    image = np.random.default_rng(seed).integers(20, 220, (height, width, 3))
    return np.clip(image + np.linspace(-15, 30, width)[None, :, None], 0, 255).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def only(name, magnitude, **options):
    """The transform that always applies one operation once, and nothing else."""
    augment = RandAugment(num_layers=1, magnitude=magnitude, prob=1.0, **{"magnitude_std": 0.0, **options})
    augment.operations = [(own, range_) for own, range_ in augment.operations if own == name]
    return lambda image, generator: np.asarray(augment(image, generator))


def by_pillow(name, m, image, resample, increasing=False):
    """All results that an operation of magnitude m may have: two, where a sign is drawn."""
    width, height = image.size

    def moved(*matrix):
        return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=resample, fillcolor=FILL)

    if name in ENHANCEMENTS:
        factors = [1 + m / 10 * 0.9, max(0.1, 1 - m / 10 * 0.9)] if increasing else [m / 10 * 1.8 + 0.1]
        return [ENHANCEMENTS[name](image).enhance(factor) for factor in factors]
    bits, threshold = int(m / 10 * 4), int(m / 10 * 256)
    if increasing:
        bits, threshold = 4 - bits, 256 - threshold
    brighter = [min(255, value + int(m / 10 * 110)) if value < 128 else value for value in range(256)]
    return {
        "AutoContrast": lambda: [ImageOps.autocontrast(image)], "Equalize": lambda: [ImageOps.equalize(image)],
        "Invert": lambda: [ImageOps.invert(image)],
        "Rotate": lambda: [image.rotate(sign * m / 10 * 30, resample=resample, fillcolor=FILL) for sign in (1, -1)],
        "Posterize": lambda: [ImageOps.posterize(image, bits) if bits else Image.new("RGB", image.size)],
        "Solarize": lambda: [ImageOps.solarize(image, threshold)],
        "SolarizeAdd": lambda: [image.point(brighter * 3)],
        "ShearX": lambda: [moved(1, sign * m / 10 * 0.3, 0, 0, 1, 0) for sign in (1, -1)],
        "ShearY": lambda: [moved(1, 0, 0, sign * m / 10 * 0.3, 1, 0) for sign in (1, -1)],
        "TranslateX": lambda: [moved(1, 0, sign * m / 10 * 0.45 * width, 0, 1, 0) for sign in (1, -1)],
        "TranslateY": lambda: [moved(1, 0, 0, 0, 1, sign * m / 10 * 0.45 * height) for sign in (1, -1)],
    }[name]()


@pytest.mark.parametrize("increasing", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_pixels_are_those_of_pillow_and_both_signs_occur(name, increasing):
    for m in (0, 1, 2.4, 7, 7.3, 9.9, 10):
        for number, (interpolation, resample) in enumerate(FILTERS.items()):
            image = picture(*[(40, 56), (41, 33), (3, 3)][number], seed=number)
            augment = only(name, m, increasing=increasing, interpolation=interpolation)
            expected = [np.asarray(each) for each in by_pillow(name, m, Image.fromarray(image), resample, increasing)]
            met = {next(place for place, each in enumerate(expected) if np.array_equal(augment(image, rng(seed)), each))
                   for seed in range(12)}
            assert met == set(range(len({each.tobytes() for each in expected})))


def test_fifteen_operations_are_drawn_with_replacement_and_equally_often(monkeypatch):
    drawn = []
    for name in NAMES:
        monkeypatch.setitem(randaugment.OPERATIONS, name, lambda picture, *_, own=name: drawn.append(own) or picture)
    RandAugment(num_layers=15000, prob=1.0)(picture(8, 8), rng())
    counts = [drawn.count(name) for name in NAMES]
    assert len(drawn) == 15000 == sum(counts)
    assert max(abs(count - 1000) for count in counts) < 155         # five standard deviations of 30.6


class Counting:
    """A generator that writes down what it was asked for."""

    def __init__(self, seed=0):
        self.inner, self.drawn = rng(seed), []

    def __getattr__(self, name):
        def draw(*args, **options):
            value = getattr(self.inner, name)(*args, **options)
            self.drawn.append((name, args, value))
            return value
        return draw


def test_two_operations_each_with_probability_one_half():
    augment, image, applied = RandAugment(), picture(8, 8), []
    for seed in range(1500):
        generator = Counting(seed)
        augment(image, generator)
        assert generator.drawn[0][:2] == ("integers", (15,)) and len(generator.drawn[0][2]) == 2
        applied.append(sum(name == "normal" for name, *_ in generator.drawn))
    counts = np.bincount(applied, minlength=3)
    assert abs(counts - [375, 750, 375]).max() < 90         # five standard deviations of 17 and 19


def test_magnitudes_are_normal_about_the_mean_and_cut_off():
    asked = [draw for seed in range(300) for draw in _draws(RandAugment(prob=1.0), seed) if draw[0] == "normal"]
    assert {args for _, args, _ in asked} == {(7.0, 0.5)} and len(asked) == 600
    image = picture()
    wild = only("Brightness", 9.0, magnitude_std=100.0)     # nearly all magnitudes are cut off
    ends = [np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor)) for factor in (0.1, 1.9)]
    hits = [next((place for place, end in enumerate(ends) if np.array_equal(wild(image, rng(seed)), end)), None)
            for seed in range(200)]
    assert 70 < hits.count(0) < 115 and 80 < hits.count(1) < 125 and hits.count(None) < 20


def _draws(augment, seed):
    generator = Counting(seed)
    augment(picture(8, 8), generator)
    return generator.drawn


@pytest.mark.parametrize("name", NAMES)
def test_level_12_of_15_is_8_of_10(name):
    """The share of the strongest effect decides, not the number."""
    image = picture()
    for seed in range(4):
        of_15 = only(name, 12, strongest=15.0, increasing=True, interpolation="bicubic")(image, rng(seed))
        of_10 = only(name, 8, increasing=True, interpolation="bicubic")(image, rng(seed))
        np.testing.assert_array_equal(of_15, of_10)


def test_the_noise_is_on_the_scale_of_strongest_and_cut_off_there():
    asked = [draw for seed in range(50) for draw in _draws(RandAugment(magnitude=12, strongest=15, prob=1.0), seed)
             if draw[0] == "normal"]
    assert {args for _, args, _ in asked} == {(12, 0.5)}
    image = picture()
    wild = only("Brightness", 15.0, strongest=15.0, magnitude_std=1000.0)
    ends = {np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor)).tobytes() for factor in (0.1, 1.9)}
    assert sum(wild(image, rng(seed)).tobytes() in ends for seed in range(100)) > 90


def test_moved_pictures_are_filled_with_the_mean_of_the_data():
    image = np.full((40, 40, 3), 255, np.uint8)
    for mean, fill in [((0.485, 0.456, 0.406), FILL), ((0.5, 0.0, 1.0), (128, 0, 255))]:
        shifted = only("TranslateX", 10, mean=mean)(image, rng())
        left, right = shifted[:, :17], shifted[:, -17:]     # 0.45 of 40 pixels are 18
        assert {tuple(pixel) for side in (left, right) for pixel in side.reshape(-1, 3).tolist()} == {fill, (255, 255, 255)}


def test_the_interpolation_is_drawn_for_each_operation():
    image, either = picture(), only("Rotate", 7)
    found = [either(image, rng(seed)).tobytes() for seed in range(200)]
    turned = [each for resample in (Image.BILINEAR, Image.BICUBIC)
              for each in by_pillow("Rotate", 7, Image.fromarray(image), resample)]
    known = {np.asarray(each).tobytes(): number for number, each in enumerate(turned)}
    counts = np.bincount([known[each] for each in found], minlength=4)
    assert abs(counts - 50).max() < 31                      # five standard deviations of 6.1


def test_equal_generators_give_equal_images_and_others_many_different_ones():
    image, augment = picture(), RandAugment()
    first, again = ([np.asarray(augment(image, rng(seed))).tobytes() for seed in range(60)] for _ in range(2))
    assert first == again and len(set(first)) > 30


def test_shape_type_and_the_input_stay():
    for size in [(40, 56), (1, 1), (2, 7), (224, 224)]:
        image, augment = picture(*size), RandAugment(num_layers=4, prob=0.9, increasing=True)
        for seed in range(15):
            result = np.asarray(augment(image, rng(seed)))
            assert result.shape == image.shape and result.dtype == np.uint8
        assert np.array_equal(image, picture(*size))


def test_what_was_put_off_before_it_is_taken_into_account():
    """Behind a ColorJitter it is given an image whose tables are still to be applied."""
    image, table = picture(), np.arange(256, dtype=np.uint8)[::-1]
    for seed in range(40):
        late = np.asarray(RandAugment(prob=1.0)(Toned(image).through(table), rng(seed)))
        np.testing.assert_array_equal(late, np.asarray(RandAugment(prob=1.0)(255 - image, rng(seed))))


def test_yaml_knows_it_by_name_and_normalising_follows(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "picture.png")
    ops = ["DecodeImage", {"RandAugment": {"magnitude": 9, "increasing": True}}, "NormalizeImage", "ToCHWImage"]
    pipeline = build_transforms(ops, "ops")
    assert pipeline.random and pipeline(tmp_path / "picture.png", rng()).shape == (3, 40, 56)


@pytest.mark.parametrize("options, message", [
    ({"magnitude": 11}, "magnitude must lie between 0 and 10, the value of strongest, not 11"),
    ({"magnitude": 16, "strongest": 15}, "between 0 and 15"), ({"strongest": 0}, "strongest must be a number above 0"),
    ({"magnitude": -1}, "magnitude must be"),
    ({"num_layers": 0}, "num_layers must be a whole number of at least 1"), ({"prob": 1.5}, "prob must lie between 0 and 1"),
    ({"magnitude_std": -0.1}, "magnitude_std must be"), ({"mean": [0.5]}, "mean must be a list of 3 numbers"),
    ({"mean": [124, 116, 104]}, "each value of mean must lie between 0 and 1, not 124"), ({"increasing": 1}, "true or false"),
    ({"interpolation": "bilinea"}, "Did you mean 'bilinear'"), ({"config_str": "rand-m7"}, "has no option 'config_str'")])
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        build_transforms(["DecodeImage", {"RandAugment": options}], "ops")
