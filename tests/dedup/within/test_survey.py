import hashlib

import numpy as np
import pytest

from dedup.options import Options
from dedup.paths import Paths
from dedup.within.survey import rank_pictures, ranks_of, survey_part
from dedup.within.work import GroupOptions, open_work


def plan(folder, names, **group_options):
    return open_work(folder / "work", folder, Paths.of(names), np.zeros(len(names), bool), Options(),
                     GroupOptions(**group_options))


@pytest.fixture
def surveyed(tmp_path, save, photo):
    """A survey of a photograph, a grey picture and a file that is none."""
    save(tmp_path / "photo.png", photo(0))
    save(tmp_path / "plain.png", np.full((50, 60, 3), (30, 60, 90), np.uint8))
    (tmp_path / "wrong.png").write_text("no picture")
    work = plan(tmp_path, ["photo.png", "plain.png", "wrong.png"], keypoints=40)
    survey_part(work, 0, None)
    return work


def test_every_picture_has_a_row(surveyed, tmp_path):
    readable, pixels, digests = (surveyed.column("survey", name) for name in ("readable", "pixels", "sha256"))
    assert readable.tolist() == [True, True, False] and pixels.tolist() == [240 * 320, 3000, 0]
    assert digests[0].tobytes() == hashlib.sha256((tmp_path / "photo.png").read_bytes()).digest()
    assert surveyed.column("survey", "offsets").tolist() == [0, 40, 40, 40]
    np.testing.assert_array_equal(surveyed.column("survey", "colour"), [[np.nan] * 3, [30, 60, 90], [np.nan] * 3])


def test_local_features_are_left_out_when_nobody_asks_for_them(tmp_path, save, photo):
    save(tmp_path / "photo.png", photo(0))
    work = plan(tmp_path, ["photo.png"], sources=("hash",))
    survey_part(work, 0, None)
    assert work.column("survey", "offsets").tolist() == [0, 0]


def test_embeddings_have_unit_length_and_unreadable_pictures_none(tmp_path, save, photo):
    save(tmp_path / "photo.png", photo(0))
    work = plan(tmp_path, ["missing.png", "photo.png"], sources=("feature",))
    survey_part(work, 0, lambda files: np.full((len(files), 4), 3.0))
    np.testing.assert_allclose(work.column("survey", "embedding"), [[0] * 4, [0.5] * 4])


def test_ranks_follow_preference_pixels_bytes_and_path(tmp_path):
    random = np.random.default_rng(0)
    count = 100
    work = plan(tmp_path, [f"{row:03d}.png" for row in range(count)])
    pixels, size = random.integers(1, 4, count), random.integers(1, 4, count)
    readable, preferred = random.random(count) > 0.1, random.random(count) > 0.7
    digests = np.zeros((count, 32), np.uint8)
    digests[readable, :4] = random.integers(1, 4, (readable.sum(), 4))          # 81 different ones
    for part in range(work.parts):
        rows = work.rows(part)
        work.write("survey", part, readable=readable[rows], sha256=digests[rows], pixels=pixels[rows], bytes=size[rows])
    ranks = rank_pictures(work, preferred)
    order = sorted(range(count), key=lambda row: (not preferred[row], -pixels[row], -size[row], row))
    first = {}
    for place, row in enumerate(order):
        if readable[row]:
            best = first.setdefault(digests[row].tobytes(), row)
            assert ranks.original[row] == best and ranks.rank[row] == (place if best == row else -1)
        else:
            assert ranks.original[row] == ranks.rank[row] == -1
    np.testing.assert_array_equal(ranks_of(work), ranks.rank)
