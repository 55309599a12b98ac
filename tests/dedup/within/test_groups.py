import sys
from concurrent.futures import Executor, Future

import cv2
import numpy as np
import pytest

from dedup import remove_copies
from dedup.errors import InputError
from dedup.match import read_matches
from dedup.network.embedding import load_embed
from dedup.options import Options
from dedup.within import settle
from dedup.within.groups import find_duplicates
from dedup.within.work import GroupOptions
from dedup.workers.executors import open_executor


class Serial(Executor):
    """Runs at once and counts."""

    def __init__(self):
        self.count = 0

    def submit(self, function, *arguments):
        self.count += 1
        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.fixture
def gallery(tmp_path, save, photo):
    """A folder with one group of edits, one of flat pictures, single pictures and a file that is none; and its names."""
    folder, first = tmp_path / "gallery", photo(0, 300, 400)
    save(folder / "whole.png", first)
    save(folder / "jpeg.jpg", cv2.resize(first, (320, 240), interpolation=cv2.INTER_AREA), cv2.IMWRITE_JPEG_QUALITY, 50)
    save(folder / "crop.jpg", first[40:260, 90:370])
    save(folder / "mirror.jpg", first[20:, :380][:, ::-1])
    (folder / "same.jpg").write_bytes((folder / "crop.jpg").read_bytes())
    for name, colour in (("sky", 200), ("clear_sky", 200), ("night", 20)):
        save(folder / f"{name}.png", np.full((100, 100 + len(name), 3), colour, np.uint8))
    for seed in range(10, 14):
        save(folder / f"other{seed}.jpg", photo(seed))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    return folder, sorted(path.name for path in folder.iterdir())


@pytest.fixture
def search(gallery, tmp_path):
    """`search(**changes)`: duplicates of the gallery; every call has a folder of its own unless one is named."""
    folder, names = gallery
    calls = []

    def run(**changes):
        calls.append(None)
        return find_duplicates(**{"paths": names, "root": folder, "folder": tmp_path / f"work{len(calls)}", **changes})
    return run


def stays(found):
    """Who goes -> who stays."""
    return {match.query: match.reference for match in found.matches}


WANTED = {"crop.jpg": "whole.png", "jpeg.jpg": "whole.png", "mirror.jpg": "whole.png", "same.jpg": "whole.png",
          "sky.png": "clear_sky.png"}


def test_of_every_group_the_largest_picture_stays(search):
    found = search()
    assert stays(found) == WANTED
    assert [match.query for match in found.matches] == sorted(WANTED)
    assert {match.reason for match in found.matches} == {"pool-duplicate"}
    assert found.sources == ("sha256", "hash", "sift") and (found.images, found.unreadable) == (13, 1)


def test_a_match_says_how_the_two_pictures_lie_on_each_other(search):
    by_name = {match.query: match for match in search().matches}
    crop, mirror = by_name["crop.jpg"], by_name["mirror.jpg"]
    assert crop.inliers >= 5 and crop.agreement >= 0.55 and not crop.mirrored
    np.testing.assert_allclose(crop.affine, [[1, 0, 90], [0, 1, 40]], atol=1.5)
    assert mirror.mirrored
    np.testing.assert_allclose(mirror.affine @ [0, 0, 1], [379, 20], atol=3)
    assert by_name["sky.png"].affine is None and by_name["sky.png"].hash_distance == 0


def test_copies_of_bytes_share_the_verdict_on_the_best_of_them(search):
    by_name = {match.query: match for match in search().matches}
    np.testing.assert_array_equal(by_name["same.jpg"].affine, by_name["crop.jpg"].affine)
    found = search(paths=["same.jpg", "crop.jpg", "night.png"])
    assert [(m.query, m.reference, m.agreement) for m in found.matches] == [("same.jpg", "crop.jpg", 1.0)]


def test_a_preferred_picture_stays_though_smaller(gallery, search):
    preferred = np.array([name in ("jpeg.jpg", "same.jpg") for name in gallery[1]])
    assert stays(search(preferred=preferred)) == {
        "crop.jpg": "jpeg.jpg", "same.jpg": "jpeg.jpg", "mirror.jpg": "jpeg.jpg", "whole.png": "jpeg.jpg",
        "sky.png": "clear_sky.png"}


def test_of_equally_large_pictures_the_larger_file_stays_then_the_smaller_path(tmp_path, save, photo):
    picture = photo(0)
    for name, quality in (("a.jpg", 60), ("b.jpg", 95), ("c.jpg", 95)):
        save(tmp_path / name, picture, cv2.IMWRITE_JPEG_QUALITY, quality)
    (tmp_path / "c.jpg").write_bytes((tmp_path / "c.jpg").read_bytes() + b"\0")
    assert stays(find_duplicates(["a.jpg", "b.jpg"], tmp_path, tmp_path / "1")) == {"a.jpg": "b.jpg"}
    (tmp_path / "c.jpg").write_bytes((tmp_path / "b.jpg").read_bytes())
    assert stays(find_duplicates(["c.jpg", "b.jpg", "a.jpg"], tmp_path, tmp_path / "2")) == {"a.jpg": "b.jpg", "c.jpg": "b.jpg"}


def test_the_ends_of_a_chain_do_not_become_one_group(tmp_path, save, photo):
    scene = photo(3, 260, 560)
    save(tmp_path / "left.png", cv2.resize(scene[:, :260], (520, 520), interpolation=cv2.INTER_CUBIC))
    save(tmp_path / "middle.png", scene[:, 120:440])
    save(tmp_path / "right.png", scene[:, 300:])
    found = find_duplicates(["left.png", "middle.png", "right.png"], tmp_path, tmp_path / "work")
    assert found.pairs["confirmed"] == 2
    assert stays(found) == {"middle.png": "left.png"}


def test_the_order_of_the_list_does_not_matter(gallery, search):
    order = np.random.default_rng(0).permutation(len(gallery[1]))
    preferred = np.arange(len(gallery[1])) == 7
    first = search(preferred=preferred)
    again = search(paths=[gallery[1][i] for i in order], preferred=preferred[order])
    assert repr(first) == repr(again)


@pytest.mark.slow
def test_three_processes_find_what_one_finds(gallery, search):
    with open_executor(workers=3) as executor:
        assert repr(search(executor=executor)) == repr(search())


def test_an_interrupted_search_goes_on_where_it_stopped(search, tmp_path):
    def killed(stage, done, total):
        if stage == "edited":
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        search(folder=tmp_path / "again", progress=killed)
    executor = Serial()
    assert repr(search(folder=tmp_path / "again", executor=executor)) == repr(search())
    assert executor.count == 1          # the groups alone were missing


def test_a_finished_search_is_read_again(search, tmp_path, monkeypatch):
    first = search(folder=tmp_path / "again")
    monkeypatch.setattr(settle, "Pictures", None)
    assert repr(search(folder=tmp_path / "again")) == repr(first)


def test_every_stage_is_reported(search):
    seen = []
    search(progress=lambda *stage: seen.append(stage))
    assert seen == [(stage, 1, 1) for stage in ("survey", "flat", "hash", "alike", "index", "sift", "edited", "group")]


@pytest.mark.parametrize("changes, message", [
    ({"options": Options(min_inliers=7)}, "min_inliers 5 there, 7 now"),
    ({"group_options": GroupOptions(keypoints=32)}, "groups .*'keypoints': 64.* there, .*'keypoints': 32.* now"),
    ({"paths": ["whole.png", "sky.png"]}, "images 13 there, 2 now"),
    ({"preferred": np.ones(13, bool)}, "preferred_sha256")])
def test_a_folder_of_another_search_is_refused(search, tmp_path, changes, message):
    search(folder=tmp_path / "again")
    with pytest.raises(InputError, match=message):
        search(folder=tmp_path / "again", **changes)


def test_a_picture_that_vanished_meanwhile_is_named(gallery, search, tmp_path):
    def removed(stage, done, total):
        if stage == "hash":
            (gallery[0] / "jpeg.jpg").unlink()
    with pytest.raises(InputError, match="jpeg.jpg could be read before"):
        search(progress=removed)


@pytest.mark.parametrize("changes, message", [
    ({"paths": ["sky.png", "night.png", "sky.png"]}, "'sky.png' comes twice"),
    ({"preferred": np.ones(2, bool)}, r"one bool per path, 13 of them; its shape is \(2,\)"),
    ({"group_options": GroupOptions(sources=("feature",))}, "embed function is None"),
    ({"embed": len}, "embed function is <built-in function len>")])
def test_wrong_arguments_are_refused(search, changes, message):
    with pytest.raises(InputError, match=message):
        search(**changes)


def colours_of(files):
    """An embedding: 8 x 8 colours, without their mean."""
    rows = np.stack([cv2.resize(cv2.imread(file), (8, 8), interpolation=cv2.INTER_AREA).ravel() for file in files])
    return rows - rows.mean(axis=1, keepdims=True, dtype=np.float64) + 1e-3


def test_a_network_proposes_pairs_too(search):
    found = search(embed=colours_of, group_options=GroupOptions(sources=("feature",)), options=Options(t_cand=0.3))
    assert stays(found) == {name: other for name, other in WANTED.items() if name != "mirror.jpg"}
    assert found.sources == ("sha256", "feature") and set(found.pairs) == {"flat", "feature", "different", "confirmed"}


def test_a_pool_of_unreadable_files_has_no_duplicates(search):
    found = search(paths=["broken.jpg", "missing.jpg"])
    assert found.matches == [] and found.unreadable == 2


@pytest.fixture
def by_name(tmp_path, monkeypatch):
    """An embedding of a module, which workers can import: pictures are near when their names begin with one letter."""
    (tmp_path / "initials.py").write_text("import os\nimport numpy as np\n\n\ndef embed(files):\n"
                                          "    return np.eye(128)[[ord(os.path.basename(file)[0]) for file in files]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "initials", raising=False)
    return load_embed("initials:embed")


@pytest.fixture
def clean(tmp_path, save, photo, by_name, evaluation):
    """`clean(folder, sources, **arguments)`: the whole run over a pool in which no hash finds the crop of a picture."""
    whole = photo(20, 300, 400)
    save(tmp_path / "pool" / "a_whole.png", whole)
    save(tmp_path / "pool" / "a_crop.jpg", whole[20:160, 60:260])
    for name, seed in (("a_other", 21), ("b_alone", 22)):
        save(tmp_path / "pool" / f"{name}.png", photo(seed))

    def run(folder, sources, **arguments):
        return remove_copies(tmp_path / "pool", evaluation, tmp_path / folder, embed=by_name,
                             options=Options(embedding="initials"), within_pool=GroupOptions(sources=sources), **arguments)
    return run


def test_what_a_network_alone_proposes_is_verified_and_removed(clean, tmp_path):
    assert clean("hash", ("hash",)).removed == 0
    found = clean("both", ("hash", "feature"))
    (gone,) = read_matches(found.removed_file)
    assert (gone.query, gone.reference, gone.reason) == ("a_crop.jpg", "a_whole.png", "pool-duplicate")
    assert gone.inliers >= 5 and gone.agreement >= 0.55
    np.testing.assert_allclose(gone.affine, [[1, 0, 60], [0, 1, 20]], atol=1.5)
    assert found.kept_file.read_text().split() == ["a_other.png", "a_whole.png", "b_alone.png"]
    inside = found.manifest["within_pool"]
    assert inside["candidates_from"] == ["sha256", "hash", "feature"]
    assert inside["pairs"] == {"flat": 0, "hash": 0, "feature": 6, "different": 3, "confirmed": 1}


@pytest.mark.slow
def test_three_processes_remove_what_one_removes_with_a_network(clean, tmp_path):
    names = ("kept.txt", "removed.tsv", "other_matches.tsv", "close.tsv")
    for folder, workers in (("one", 1), ("three", 3)):
        clean(folder, ("hash", "feature"), workers=workers, shard_size=2)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "three" / name).read_bytes()
