import cv2
import numpy as np
import pytest

from dedup import Options, ReferenceIndex, voting
from dedup.picture import describe


def png(rgb):
    return cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR))[1].tobytes()


def index_of(folder, save, **pictures):
    names = [name for name in pictures if save(folder / f"{name}.png", pictures[name])]
    return ReferenceIndex.build([f"{name}.png" for name in names], root=folder)


def compare(index, rgb):
    picture = describe(png(rgb), Options())
    nearest = voting.nearest(index.descriptors, picture.view.features.descriptors, Options())
    return index.matcher.compare("query", picture, nearest, None)


def test_the_reference_with_the_strongest_evidence_comes_first(tmp_path, save, photo):
    picture = photo(1)
    index = index_of(tmp_path, save, part=picture[:, :200], whole=picture, other=photo(2))
    matches, close = compare(index, picture)
    assert [m.reference for m in matches] == ["whole.png", "part.png"] and close == []
    assert matches[0].inliers * matches[0].agreement > matches[1].inliers * matches[1].agreement


def test_a_reference_is_reported_once_even_if_it_fits_both_ways(tmp_path, save, photo):
    half = photo(1, 240, 160)
    symmetric = np.hstack([half, half[:, ::-1]])
    matches, _ = compare(index_of(tmp_path, save, symmetric=symmetric), symmetric)
    assert [m.reference for m in matches] == ["symmetric.png"]


def test_a_picture_kept_by_a_narrow_margin_is_reported_as_close(tmp_path, save, photo):
    picture, mixed = photo(1), photo(2)
    mixed[:, :145] = picture[:, :145]       # 45 percent of it is a copy
    matches, close = compare(index_of(tmp_path, save, picture=picture), mixed)
    assert matches == []
    assert [m.reference for m in close] == ["picture.png"] and 0.3 <= close[0].agreement < 0.55


@pytest.mark.parametrize("change, copies", [(0, 1), (1, 1), (9, 0)])
def test_a_picture_without_key_points_needs_the_same_colour(tmp_path, save, change, copies):
    ramp = np.repeat(np.linspace(60, 160, 300).astype(np.uint8)[None, :, None], 200, axis=0) * np.ones(3, np.uint8)
    matches, _ = compare(index_of(tmp_path, save, ramp=ramp), ramp + np.array([change, 0, 0], np.uint8))
    assert len(matches) == copies
    assert all(m.reason == "hash" and m.inliers == 0 and m.affine is None for m in matches)


def test_a_reference_with_too_small_a_share_of_the_votes_is_not_proposed(tmp_path, save, photo):
    picture, part = photo(1), photo(1)[40:200, 60:280]      # a crop has another hash
    index = index_of(tmp_path, save, picture=picture, other=photo(2))
    features = describe(png(part), Options()).view.features
    nearest = voting.nearest(index.descriptors, features.descriptors, Options())
    share = index.matcher.votes.candidates(features, *nearest, Options())[0][2] / len(features.sizes)
    for least, copies in ((share - 0.01, 1), (share + 0.01, 0)):
        index.matcher.options = Options(min_share=least)
        assert len(compare(index, part)[0]) == copies
