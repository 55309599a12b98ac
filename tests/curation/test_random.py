"""A random draw is even over the paths, and a function of their set."""
import numpy as np
import pytest

from ssld.curation.selectors import path_keys
from ssld.curation.selectors.random import draw, random
from ssld.data.manifest import Manifest
from ssld.errors import InputError


def scored(count):
    """A manifest of which every third row has no class."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 4, (count, 2))
    classes[::3] = -1
    return Manifest("root", [f"é/{name}.jpg" for name in rng.permutation(count)], np.full(count, -1),
                    {"teacher_class": classes, "score": rng.random((count, 2)).astype(np.float16)})


def paths(manifest, selection):
    return sorted(manifest.path.take(selection.row))


def test_the_draw_depends_on_the_paths_and_not_on_their_order(monkeypatch):
    manifest = scored(300)
    first = paths(manifest, random(manifest, count=20, seed=4))
    shuffled = manifest.take(np.random.default_rng(1).permutation(300))
    monkeypatch.setattr(path_keys, "_BATCH", 7)
    assert paths(shuffled, random(shuffled, count=20, seed=4)) == first
    assert len(first) == 20 and first != paths(manifest, random(manifest, count=20, seed=5))


def test_the_draw_does_not_depend_on_images_that_are_no_candidates():
    manifest = scored(300)
    known = manifest.take(np.flatnonzero(manifest.columns["teacher_class"][:, 0] >= 0))
    assert paths(known, random(known, count=50)) == paths(manifest, random(manifest, count=50))


def test_all_candidates_are_drawn_where_more_are_asked():
    manifest = scored(300)
    assert random(manifest, count=500).row.tolist() == [row for row in range(300) if row % 3]


def test_every_image_and_every_pair_is_drawn_equally_often():
    manifest, draws, size = scored(40), 4000, 10
    drawn = np.zeros((draws, 40))
    for seed in range(draws):
        drawn[seed, draw(manifest.path, np.arange(40), size, seed)] = 1
    together = drawn.T @ drawn / draws
    single, pairs = np.diag(together), together[~np.eye(40, dtype=bool)]
    p, q = size / 40, size / 40 * (size - 1) / 39
    assert abs(single - p).max() < 5 * np.sqrt(p * (1 - p) / draws)
    assert abs(pairs - q).max() < 5 * np.sqrt(q * (1 - q) / draws)


def test_paths_of_equal_hash_are_drawn_in_their_order(monkeypatch):
    monkeypatch.setattr("ssld.curation.selectors.random.path_hash", lambda paths, row, seed: np.zeros(len(row), np.uint64))
    manifest = scored(60)
    everything = paths(manifest, random(manifest, count=60))
    assert paths(manifest, random(manifest, count=7)) == everything[:7]


def test_it_labels_with_the_best_class_and_ranks_within_it():
    manifest = scored(300)
    chosen = random(manifest, count=120)
    np.testing.assert_array_equal(chosen.label, manifest.columns["teacher_class"][chosen.row, 0])
    np.testing.assert_array_equal(chosen.score, manifest.columns["score"][chosen.row, 0])
    for label in range(4):
        mine = [(-float(score), manifest.path[int(row)].encode(), rank)
                for row, own, score, rank in zip(*chosen) if own == label]
        assert [rank for *_, rank in sorted(mine)] == list(range(len(mine)))


@pytest.mark.parametrize("count", [0, -3, 1.5])
def test_a_count_below_one_is_refused(count):
    with pytest.raises(InputError, match="count must be a whole number"):
        random(scored(5), count)
