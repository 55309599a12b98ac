from __future__ import annotations

import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ssld.errors import InputError
from ssld.softlabels.original import check_kind, kind_of, pixel_crops, read_original, top_of

REAL = Path(__file__).parent / "original"           # files that PyTorch wrote
BOXES = np.array([[0, 0, 333, 500], [17, 211, 120, 160], [250, 3, 83, 97], [1, 499, 332, 1]])
FLIPS = np.array([False, True, True, False])
WIDTH, HEIGHT = 500, 333


class Call:
    """Pickles as a call of `function` with `arguments`."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def arrays(label, boxes=BOXES, kind=np.float32):
    coords = (np.asarray(boxes) / [HEIGHT, WIDTH, HEIGHT, WIDTH]).astype(kind)
    return [coords, np.resize(FLIPS, len(coords)), label]


def saved(make_original, tmp_path, content):
    return make_original(tmp_path / "x.tar", content)


def raw(tmp_path, pickled: bytes, member="archive/data.pkl", compression=zipfile.ZIP_STORED):
    file = tmp_path / "x.tar"
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr(member, pickled)
    return file


def pairs(count=4, k=5, kind=np.float32):
    probabilities = np.linspace(0.5, 0.1, k)[None] / 2 * np.ones((count, 1))
    return np.stack([np.arange(count * k).reshape(count, k), probabilities], 1).astype(kind)


@pytest.mark.parametrize("name", ["numpy1", "numpy2", "numpy1_half"])
def test_what_pytorch_wrote_is_read(name):
    labels = read_original(REAL / f"{name}.tar")
    crops, moved = pixel_crops(labels, WIDTH, HEIGHT, name)
    assert np.array_equal(crops.box, BOXES) and np.array_equal(crops.flip, FLIPS) and moved == 0
    assert kind_of(labels.label) == ("marginal_smoothing", 5)
    ids, kept = top_of(labels, name)
    assert ids[0].tolist() == [639, 803, 871, 220, 185]
    assert kept.sum(1) == pytest.approx([0.5752736, 0.35631513, 0.58181563, 0.38179659], abs=2e-4 if "half" in name else 1e-7)


def test_both_spellings_of_numpys_modules_hold_the_same(tmp_path):
    pickles = [zipfile.ZipFile(REAL / f"{name}.tar").read(f"{name}/data.pkl") for name in ("numpy1", "numpy2")]
    assert b"numpy.core.multiarray" in pickles[0] and b"numpy._core.multiarray" in pickles[1]
    first, second = (read_original(REAL / f"{name}.tar") for name in ("numpy1", "numpy2"))
    assert all(np.array_equal(a, b) for a, b in zip(first, second))


def test_the_tests_write_what_pytorch_writes(tmp_path, make_original):
    """So that what follows is about true files."""
    real = zipfile.ZipFile(REAL / f"numpy{np.__version__[0]}.tar")
    content = pickle.loads(real.read(real.namelist()[0]))
    ours = zipfile.ZipFile(make_original(tmp_path / "x.tar", content))
    assert ours.read("x/data.pkl") == real.read(real.namelist()[0])


@pytest.mark.parametrize("label, kind", [
    (np.array([3, 0, 999, 7]), ("hard", None)),
    (np.array([3, 0, 999, 7], np.float16), ("hard", None)),
    (np.array([[3, 0.5], [0, 1], [999, 0.25], [7, 0]], np.float32), ("smoothing", None)),
    (pairs(), ("marginal_smoothing", 5)), (pairs(k=10, kind=np.float16), ("marginal_smoothing", 10)),
    (np.full((4, 8), 0.125, np.float32), ("full", None))])
def test_every_kind_is_told_by_its_shape(tmp_path, make_original, label, kind):
    read = read_original(saved(make_original, tmp_path, arrays(label)))
    assert kind_of(read.label) == kind and np.array_equal(read.label, label) and read.label.dtype == label.dtype


def test_what_bytes_mean_can_be_said_where_the_shape_leaves_it_open():
    check_kind("marginal_renorm", pairs(), "x.tar")
    check_kind("full", np.ones((4, 2)), "x.tar")
    with pytest.raises(InputError, match=r"x.tar has labels of the shape \[4, 2, 5\].* not full"):
        check_kind("full", pairs(), "x.tar")


def test_ids_and_probabilities_of_each_kind_are_found():
    def top(label):
        ids, kept = top_of(read._replace(label=label), "x.tar")
        return ids.tolist(), kept.tolist()

    read = read_original(REAL / "numpy1.tar")
    assert top(np.array([3, 7])) == ([[3], [7]], [[1], [1]])
    assert top(np.array([[3, 0.5], [7, 0.25]], np.float32)) == ([[3], [7]], [[0.5], [0.25]])
    assert top(np.array([[[3, 7], [0.5, 0.25]]], np.float16)) == ([[3, 7]], [[0.5, 0.25]])


@pytest.mark.parametrize("label, said", [(np.array([[3.5, 0.5]], np.float32), "no whole numbers, such as 3.5"),
                                         (np.array([3, 2048], np.float16), "half precision, which cannot tell ids from 2048"),
                                         (np.array([[[5000, 1], [0.5, 0.1]]], np.float16), "half precision")])
def test_ids_that_are_lost_are_refused(label, said):
    with pytest.raises(InputError, match=f"x.tar.*{said}"):
        top_of(read_original(REAL / "numpy1.tar")._replace(label=label), "x.tar")


# ---- boxes

@pytest.mark.parametrize("kind, side", [(np.float32, 32767), (np.float16, 1100)])
def test_fractions_become_the_pixels_they_were_made_of(tmp_path, make_original, kind, side):
    rng = np.random.default_rng(1)
    for width, height in rng.integers(side // 2, side, (20, 2)):
        size = rng.integers(1, [[height, width]] * 200, endpoint=True)
        boxes = np.concatenate([rng.integers(0, [height, width] - size, endpoint=True), size], 1)
        coords = (boxes / [height, width, height, width]).astype(kind)
        labels = read_original(saved(make_original, tmp_path, [coords, np.zeros(200, bool), np.zeros(200, np.int64)]))
        crops, moved = pixel_crops(labels, int(width), int(height), "x.tar")
        assert np.array_equal(crops.box, boxes) and moved == 0


def test_half_precision_never_leads_outside_a_large_image(tmp_path, make_original):
    rng = np.random.default_rng(2)
    size = rng.integers(1, 4001, (2000, 2))
    boxes = np.concatenate([4001 - size, size], 1)              # all of them end at the border
    coords = (boxes / 4001).astype(np.float16)
    labels = read_original(saved(make_original, tmp_path, [coords, np.zeros(2000, bool), np.zeros(2000, np.int64)]))
    box = pixel_crops(labels, 4001, 4001, "x.tar")[0].box
    assert (box[:, :2] + box[:, 2:] <= 4001).all() and (box[:, 2:] >= 1).all() and np.abs(box - boxes).max() <= 2


@pytest.mark.parametrize("coords", [[0.5, 0, 0.6, 1], [0, 0.2, 1, 0.9], [-0.1, 0, 0.5, 0.5], [0, 0, 0, 1], [0, 0, 0.5, 0.001]])
def test_a_box_that_is_empty_or_ends_outside_is_refused(coords):
    labels = read_original(REAL / "numpy1.tar")._replace(coords=np.array([[0, 0, 1, 1], coords]))
    with pytest.raises(InputError, match=r"x.tar: crop 1, .* is empty or ends outside its image of 400 x 300"):
        pixel_crops(labels, 400, 300, "x.tar")


def test_an_image_of_another_size_is_noticed_and_an_axis_swap_is_refused():
    labels = read_original(REAL / "numpy1.tar")
    assert pixel_crops(labels, 400, 300, "x.tar")[1] == 3               # all but the whole image
    swapped = labels._replace(coords=np.array([[0.1, 0.6, 0.9, 0.4]])[:, [1, 0, 2, 3]])
    with pytest.raises(InputError, match="outside"):
        pixel_crops(swapped, WIDTH, HEIGHT, "x.tar")


# ---- bad files

@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.999])
def test_a_truncated_file_is_refused(tmp_path, share):
    whole = (REAL / "numpy1.tar").read_bytes()
    (tmp_path / "x.tar").write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(InputError, match="x.tar is no file of the original soft label format"):
        read_original(tmp_path / "x.tar")


@pytest.mark.parametrize("share", [0, 0.3, 0.7, 0.99])
def test_a_truncated_pickle_in_a_whole_zip_is_refused(tmp_path, share):
    whole = zipfile.ZipFile(REAL / "numpy1.tar").read("numpy1/data.pkl")
    with pytest.raises(InputError, match="x.tar is damaged"):
        read_original(raw(tmp_path, whole[:int(share * len(whole))]))


def test_a_flipped_bit_is_refused_by_the_checksum_of_the_zip(tmp_path):
    content = bytearray((REAL / "numpy1.tar").read_bytes())
    content[600] ^= 1
    (tmp_path / "x.tar").write_bytes(bytes(content))
    with pytest.raises(InputError, match="x.tar"):
        read_original(tmp_path / "x.tar")


def test_files_that_are_something_else_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_original(tmp_path / "gone.tar")
    (tmp_path / "x.tar").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")       # PyTorch before 1.6
    with pytest.raises(InputError, match="x.tar is no file of the original .*PyTorch 1.6 or later"):
        read_original(tmp_path / "x.tar")
    whole = zipfile.ZipFile(REAL / "numpy1.tar").read("numpy1/data.pkl")
    with pytest.raises(InputError, match="expected one uncompressed member"):
        read_original(raw(tmp_path, whole, "archive/other.pkl"))
    with pytest.raises(InputError, match="expected one uncompressed member"):
        read_original(raw(tmp_path, whole, compression=zipfile.ZIP_DEFLATED))


FOUR = np.zeros((4, 4), np.float32)


@pytest.mark.parametrize("content", [
    [], [FOUR, FLIPS], {"a": 1}, 7, [1, 2, 3], [FOUR[:, :3], FLIPS, np.zeros(4)], [FOUR, FLIPS[:3], np.zeros(4)],
    [FOUR, FLIPS, np.zeros(3)], [FOUR, FLIPS, np.zeros((4, 3, 5))], [FOUR, FLIPS, np.zeros((4, 2, 5, 1))],
    [FOUR, FLIPS, np.zeros((4, 1))], [FOUR.astype(int), FLIPS, np.zeros(4)], [np.float32(1), FLIPS, np.zeros(4)],
    [FOUR, np.array(list("abcd")), np.zeros(4)]], ids=lambda content: str(content)[:30])
def test_other_content_is_refused_saying_what_was_expected(tmp_path, make_original, content):
    with pytest.raises(InputError, match=r"x.tar (holds|does not hold)"):
        read_original(saved(make_original, tmp_path, content))


@pytest.mark.parametrize("content", [[FOUR * np.nan, FLIPS, np.zeros(4)], [FOUR, FLIPS, np.full((4, 9), np.inf)],
                                     [FOUR, np.array([0, 1, 2, 0]), np.zeros(4)]], ids=["nan", "inf", "flip 2"])
def test_values_that_mean_nothing_are_refused(tmp_path, make_original, content):
    with pytest.raises(InputError, match="x.tar holds values that are no finite numbers, or flips other than 0 and 1"):
        read_original(saved(make_original, tmp_path, content))


def test_pytorch_tensors_are_refused_by_name(tmp_path):
    pickled = b"\x80\x02]q\x00ctorch._utils\n_rebuild_tensor_v2\nq\x01a."
    with pytest.raises(InputError, match="x.tar: .* asks for torch._utils._rebuild_tensor_v2.* PyTorch tensors"):
        read_original(raw(tmp_path, pickled))


# ---- malicious files; tests/test_restricted_pickle.py has those that are not about files

def test_no_file_can_run_code(tmp_path, make_original):
    made = tmp_path / "made"
    objects = np.empty(4, object)
    objects[0] = Call(os.mkdir, str(made))
    for attack, said in ((Call(os.mkdir, str(made)), "posix.mkdir"), (Call(os.system, f"mkdir {made}"), "posix.system"),
                         (Call(eval, f"__import__('os').mkdir({str(made)!r})"), "builtins.eval"), (objects, "")):
        with pytest.raises(InputError, match=f"x.tar: refused to load it: it asks for {said}"):
            read_original(saved(make_original, tmp_path, arrays(np.zeros(4))[:2] + [attack]))
    assert not made.exists()


def test_an_array_that_claims_to_be_huge_is_refused_before_it_takes_memory(tmp_path):
    whole = zipfile.ZipFile(REAL / "numpy1.tar").read("numpy1/data.pkl")
    honest = b"K\x01K\x04K\x04\x86"                     # version 1, shape (4, 4)
    assert whole.count(honest) == 1
    huge = b"K\x01" + 2 * (b"J" + struct.pack("<i", 2 ** 31 - 1)) + b"\x86"
    with pytest.raises(InputError, match=r"x.tar: .*asks for an array of shape \(2147483647, 2147483647\)"):
        read_original(raw(tmp_path, whole.replace(honest, huge)))
