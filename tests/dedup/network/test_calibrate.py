from dataclasses import replace

import cv2
import numpy as np
import pytest

from dedup import Options, ReferenceIndex, Source, read_colour
from dedup.errors import InputError
from dedup.network.calibrate import calibrate
from dedup.network.plant import EDITS

NAMED = Options(embedding="thumbnail", candidates=2, enlarge_below=0)       # small pictures stay small: it is faster


def thumbnail(files):
    """A network of a sort: what colours are where, to 8 x 8 pixels."""
    small = [cv2.resize(read_colour(f), (8, 8), interpolation=cv2.INTER_AREA).astype(np.float32).ravel() for f in files]
    return np.stack([row - row.mean() for row in small])


def folder_of(save, photo, folder, seeds) -> Source:
    names = [f"{seed}.png" for seed in seeds]
    for name, seed in zip(names, seeds):
        save(folder / name, photo(seed, 96, 128))
    return Source.of(names, folder)


@pytest.fixture
def sources(tmp_path, photo, save):
    """Twelve evaluation pictures and fifteen others, two of which copy the first evaluation picture."""
    evaluation = folder_of(save, photo, tmp_path / "val", range(12))
    others = folder_of(save, photo, tmp_path / "pool", range(50, 63))
    first = photo(0, 96, 128)
    save(tmp_path / "pool" / "crop.png", first[4:90, 6:120])
    save(tmp_path / "pool" / "jpeg.jpg", first, cv2.IMWRITE_JPEG_QUALITY, 60)
    return evaluation, Source.of([*others.paths, "crop.png", "jpeg.jpg"], others.root)


def test_every_edit_of_every_picture_is_planted_and_compared(sources):
    found = calibrate(*sources[:1], thumbnail, NAMED, images=3)
    assert (found.references, found.copies, found.others) == (12, 3 * len(EDITS), 12)
    assert list(found.per_edit) == list(EDITS)
    assert found.per_edit["jpeg30"]["t_cand"] == 1.0 and 0 < found.t_cand <= 1
    assert found.extrapolated or found.t_auto is None


def test_cosines_are_those_of_a_plain_comparison(sources):
    evaluation, others = sources
    found = calibrate(evaluation, thumbnail, NAMED, others, images=2, seed=1)

    def unit(files):
        rows = thumbnail(files)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    references = unit([f"{evaluation.root}/{name}" for name in evaluation.paths])
    plain = {name: (references @ unit([f"{others.root}/{name}"])[0]).max() for name in others.paths}
    assert len(found.closest) == 10
    for name, _, cosine in found.closest:
        assert cosine >= plain[name] - 1e-5         # plain or edited, whichever is closer
    assert list(found.cosines["others"]) == sorted(found.cosines["others"], reverse=True)


def test_others_that_copy_an_evaluation_picture_are_left_out(sources):
    found = calibrate(sources[0], thumbnail, NAMED, sources[1], images=1)
    assert (found.excluded, found.others) == (2, 13)
    assert not {"crop.png", "jpeg.jpg"} & {name for name, _, _ in found.closest}


def test_a_duplicate_inside_the_evaluation_set_is_no_false_removal(sources, photo, save, tmp_path):
    save(tmp_path / "val" / "again.jpg", photo(3, 96, 128), cv2.IMWRITE_JPEG_QUALITY, 80)
    doubled = Source.of([*sources[0].paths, "again.jpg"], tmp_path / "val")
    found = calibrate(doubled, thumbnail, NAMED, images=1)
    assert (found.excluded, found.others) == (2, 11) and found.cosines["others"].max() < 0.95


def test_the_same_picture_twice_among_the_references_costs_no_rank(tmp_path, photo, save):
    evaluation = folder_of(save, photo, tmp_path, [0, 1])
    save(tmp_path / "again.png", photo(0, 96, 128))
    doubled = Source.of([*evaluation.paths, "again.png"], tmp_path)
    found = calibrate(doubled, thumbnail, replace(NAMED, candidates=1), images=3)
    assert found.per_edit["jpeg30"]["t_cand"] == 1.0 == found.per_edit["blur"]["t_cand"]


def test_results_depend_on_neither_the_order_of_the_lists_nor_on_the_map(sources):
    evaluation, others = sources

    def backwards(function, *columns):
        return reversed([function(*row) for row in reversed(list(zip(*columns)))])

    first = calibrate(evaluation, thumbnail, NAMED, others, images=1, max_others=9, seed=5)
    turned = [Source.of(list(source.paths)[::-1], source.root) for source in sources]
    second = calibrate(turned[0], thumbnail, NAMED, turned[1], images=1, max_others=9, seed=5, map=backwards)
    for name in ("t_cand", "t_auto", "per_edit", "closest", "recall", "others", "excluded"):
        assert getattr(first, name) == getattr(second, name), name
    assert calibrate(evaluation, thumbnail, NAMED, others, images=1, max_others=9, seed=6).closest != first.closest


def test_pictures_that_cannot_be_read_are_counted_and_left_out(sources, tmp_path):
    (tmp_path / "val" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "pool" / "broken.jpg").write_bytes(b"no picture")
    evaluation, others = (Source.of([*source.paths, "broken.jpg"], source.root) for source in sources)
    found = calibrate(evaluation, thumbnail, NAMED, others, images=1)
    assert (found.unreadable, found.references) == (2, 12)


@pytest.mark.parametrize("with_others, asked", [(False, 12 + len(EDITS) + 12), (True, 12 + len(EDITS) + 2 * 4)])
def test_progress_counts_every_embedded_picture_once(sources, with_others, asked):
    calls = []
    calibrate(sources[0], thumbnail, NAMED, sources[1] if with_others else None, images=1,
              max_others=4 if with_others else 12, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (asked, asked) and [d for d, _ in calls] == sorted(d for d, _ in calls)


def test_a_full_disk_is_named(sources, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dedup.network.calibrate.plant", full)
    with pytest.raises(InputError, match=r"could not be planted in .*: No space left on device.*TMPDIR"):
        calibrate(sources[0], thumbnail, NAMED, images=1)


def test_a_single_evaluation_picture_leaves_nothing_to_be_mistaken_for_it(tmp_path, photo, save):
    found = calibrate(folder_of(save, photo, tmp_path, [0]), thumbnail, NAMED, images=1)
    assert (found.others, found.t_auto, found.right) == (0, None, 1.0)


@pytest.mark.parametrize("options, arguments, message", [
    (Options(), {}, "the option embedding is empty"), (NAMED, {"images": 0}, "must be at least 1"),
    (NAMED, {"max_others": 0}, "must be at least 1")])
def test_what_cannot_be_calibrated_is_refused(sources, options, arguments, message):
    with pytest.raises(InputError, match=message):
        calibrate(sources[0], thumbnail, options, **arguments)


def test_an_evaluation_set_without_any_readable_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="none of its 1 images can be read"):
        calibrate(Source.of(["missing.jpg"], tmp_path), thumbnail, NAMED)


def test_what_only_features_propose_is_verified_and_removed(tmp_path, photo, save):
    """With votes and hash switched off the thumbnail is the only source of candidates."""
    for seed in range(3):
        save(tmp_path / "val" / f"{seed}.png", photo(seed))
    save(tmp_path / "pool" / "crop.png", photo(1)[8:230, 10:310])
    save(tmp_path / "pool" / "other.png", photo(9))
    deaf = dict(min_score=1e9, hash_radius=0)
    names = ["0.png", "1.png", "2.png"]
    without = ReferenceIndex.build(names, Options(**deaf), tmp_path / "val")
    assert not without.match(["crop.png"], tmp_path / "pool").matches
    index = ReferenceIndex.build(names, Options(embedding="thumbnail", t_cand=0.5, **deaf), tmp_path / "val", thumbnail)
    match, = index.match(["crop.png", "other.png"], tmp_path / "pool").best()
    assert (match.query, match.reference, match.reason) == ("crop.png", "1.png", "feature")
    assert match.inliers >= 5 and match.agreement >= 0.55 and match.cosine > 0.5 and match.affine is not None


def gradient(start, stop, height=200, width=300):
    """A smooth picture without a single key point."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    mix = (0.7 * across + 0.3 * down ** 2)[:, :, None]
    return np.round(np.array(start) * (1 - mix) + np.array(stop) * mix).astype(np.uint8)


def test_t_auto_removes_what_has_no_local_features(tmp_path, photo, save):
    smooth = gradient((200, 40, 30), (20, 60, 220))
    save(tmp_path / "val" / "smooth.png", smooth)
    save(tmp_path / "val" / "photo.png", photo(0))
    save(tmp_path / "pool" / "darker.png", (smooth * 0.6).astype(np.uint8))
    save(tmp_path / "pool" / "unlike.png", gradient((30, 220, 40), (200, 200, 20)))
    names = ["smooth.png", "photo.png"]
    options = Options(embedding="thumbnail", t_cand=0.5, t_auto=0.95)
    index = ReferenceIndex.build(names, options, tmp_path / "val", thumbnail)
    found = index.match(["darker.png", "unlike.png"], tmp_path / "pool")
    match, = found.matches
    assert (match.query, match.reference, match.reason, match.inliers) == ("darker.png", "smooth.png", "feature", 0)
    assert match.cosine >= 0.95 and match.affine is None and found.counts["no_local_features"] == 2
    deaf = ReferenceIndex.build(names, root=tmp_path / "val")
    assert not deaf.match(["darker.png", "unlike.png"], tmp_path / "pool").matches
