"""Every cluster gives as equal a share as it can, and neither order nor place of a row matters."""
import numpy as np
import pytest

from ssld.curation.selectors import balanced_clusters as module
from ssld.curation.selectors.balanced_clusters import balanced_clusters, equal_shares
from ssld.data.manifest import Manifest
from ssld.errors import InputError

SIZES = (200, 50, 30, 10)


def pool(width=6, absent=15):
    """Four clouds of points far from each other, of the sizes SIZES, in mixed order; and rows without a class."""
    rng = np.random.default_rng(0)
    cloud = np.repeat(np.arange(4), SIZES)
    features = rng.normal(0, 0.1, (len(cloud), width)) + np.eye(4, width)[cloud] * 10
    order = rng.permutation(len(cloud) + absent)
    count = len(order)
    classes = np.concatenate([cloud, np.full(absent, -1)])[order, None].astype(np.int16)
    columns = {"teacher_class": classes, "score": (rng.integers(0, 4, (count, 1)) / 4).astype(np.float16),
               "feature": np.concatenate([features, np.full((absent, width), np.nan)])[order].astype(np.float16)}
    return Manifest("root", [f"é{name:04d}.jpg" for name in rng.permutation(count)], np.full(count, -1), columns)


@pytest.fixture
def one_cluster_per_cloud(monkeypatch):
    """The centres of the clouds in place of trained centroids, which may well split a large cloud."""
    def centres(manifest, row, clusters, seed):
        label, features = manifest.columns["teacher_class"][row, 0], manifest.columns["feature"][row].astype(np.float32)
        return np.stack([features[label == cloud].mean(0) for cloud in range(clusters)])

    monkeypatch.setattr(module, "_train", centres)


def paths(manifest, selection):
    return sorted(manifest.path.take(selection.row))


@pytest.mark.parametrize("count, expected", [(4, [1, 1, 1, 1]), (40, [10, 10, 10, 10]), (100, [30, 30, 30, 10]),
                                             (101, [31, 30, 30, 10]), (1000, list(SIZES))])
def test_small_clusters_give_all_and_the_others_share_what_is_left(one_cluster_per_cloud, count, expected):
    manifest = pool()
    chosen = balanced_clusters(manifest, count, clusters=4)
    assert np.bincount(chosen.label).tolist() == expected          # the class is the cloud
    assert (np.diff(chosen.row) > 0).all()


def test_shares_are_as_equal_as_can_be():
    rng = np.random.default_rng(0)
    for _ in range(200):
        sizes, count = rng.integers(0, 9, rng.integers(1, 7)), int(rng.integers(0, 40))
        expected = np.zeros_like(sizes)
        for _ in range(min(count, sizes.sum())):        # one by one, to the least served that has any left
            open_ = np.flatnonzero(expected < sizes)
            expected[open_[np.lexsort((open_, -sizes[open_], expected[open_]))[0]]] += 1
        assert equal_shares(sizes, count).tolist() == expected.tolist()


@pytest.mark.parametrize("order", ["score", "centroid"])
def test_within_a_cluster_the_best_come_first_and_ties_go_to_the_smaller_path(one_cluster_per_cloud, order):
    manifest = pool()
    chosen = balanced_clusters(manifest, 24, clusters=4, order=order)
    label, features = manifest.columns["teacher_class"][:, 0], manifest.columns["feature"].astype(np.float64)
    for cloud in range(4):
        rows = np.flatnonzero(label == cloud)
        distance = np.square(features[rows] - features[rows].mean(0)).sum(1)
        value = distance if order == "centroid" else -manifest.columns["score"][rows, 0].astype(float)
        expected = rows[np.lexsort(([manifest.path.bytes(r) for r in rows], value))][:6]
        assert sorted(expected) == chosen.row[chosen.label == cloud].tolist()


def test_every_centroid_is_the_mean_of_the_images_nearest_to_it():
    manifest = pool(absent=0)
    features = manifest.columns["feature"].astype(np.float64)
    centroids = module._train(manifest, np.arange(len(features)), 5, seed=0)
    nearest, distance = module._assign(manifest, np.arange(len(features)), centroids)
    every = np.square(features[:, None] - centroids).sum(2)
    np.testing.assert_array_equal(nearest, every.argmin(1))
    np.testing.assert_allclose(distance, every.min(1), rtol=1e-4)
    for cluster in range(5):
        np.testing.assert_allclose(centroids[cluster], features[nearest == cluster].mean(0), atol=1e-4)


@pytest.mark.parametrize("order", ["score", "centroid"])
def test_neither_the_order_of_rows_nor_the_size_of_blocks_matters(monkeypatch, order):
    rng = np.random.default_rng(3)          # no clouds: most rows lie near a border
    columns = {"teacher_class": np.zeros((400, 1), int), "score": np.ones((400, 1), np.float16),
               "feature": rng.normal(size=(400, 16)).astype(np.float16)}
    manifest = Manifest("root", [f"{name}.jpg" for name in rng.permutation(400)], np.full(400, -1), columns)
    expected = paths(manifest, balanced_clusters(manifest, 90, clusters=9, order=order, sample=200))
    for block in (1 << 22, 16, 500):
        monkeypatch.setattr(module, "_BLOCK", block)
        shuffled = manifest.take(rng.permutation(400))
        assert paths(shuffled, balanced_clusters(shuffled, 90, clusters=9, order=order, sample=200)) == expected
    assert paths(manifest, balanced_clusters(manifest, 90, clusters=9, order=order, sample=200, seed=1)) != expected


def test_features_on_disk_give_the_same_as_features_in_memory(tmp_path):
    manifest = pool()
    for name, column in manifest.columns.items():
        np.save(tmp_path / f"{name}.npy", column)
    mapped = manifest.with_columns(**{name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in manifest.columns})
    for mine, other in zip(balanced_clusters(mapped, 50, clusters=4), balanced_clusters(manifest, 50, clusters=4)):
        np.testing.assert_array_equal(mine, other)


def test_one_cluster_takes_the_best_of_all():
    manifest = pool()
    assert len(balanced_clusters(manifest, 7, clusters=1).row) == 7


def test_a_list_without_features_says_how_to_get_them():
    manifest = pool()
    bare = manifest.take(np.arange(20))
    bare = Manifest("root", bare.path, bare.label, {name: bare.columns[name] for name in ("teacher_class", "score")})
    with pytest.raises(InputError, match="Score.features: true"):
        balanced_clusters(bare, 5, clusters=2)


def test_a_feature_that_is_not_finite_is_named():
    manifest = pool(absent=0)
    manifest.columns["feature"][7, 2] = np.inf
    with pytest.raises(InputError, match=f"{manifest.path[7]}: the feature is not finite"):
        balanced_clusters(manifest, 5, clusters=4)


@pytest.mark.parametrize("options, message", [
    ({"count": 0}, "count"), ({"clusters": 0}, "clusters"), ({"clusters": 291}, "there are 290"),
    ({"sample": 3}, "sample is 3"), ({"order": "size"}, "order cannot be 'size'")])
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        balanced_clusters(pool(), **{"count": 10, "clusters": 4, **options})


def test_features_of_another_shape_are_refused():
    with pytest.raises(InputError, match="expected the column 'feature'"):
        balanced_clusters(pool().with_columns(feature=np.zeros(305, np.float16)), 5, clusters=2)
