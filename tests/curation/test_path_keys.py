"""Paths as numbers: their order is that of the bytes, and hashes tell them apart."""
import numpy as np
import pytest

from dedup.lists import Paths
from ssld.curation.selectors import path_keys
from ssld.curation.selectors.path_keys import order_ties, path_hash, same_paths, words

STRINGS = ["", "a", "a\0", "a\0\0", "aaaaaaa", "aaaaaaaa", "aaaaaaaaaaaaaa", "aaaaaaaaaaaaab", "ab", "é", "e\u0301",
           "日本語.jpg", "folder/folder/1.jpg", "folder/folder/10.jpg", "folder/folder/2.jpg", "\udcff.jpg", "z" * 50]


def some(count, seed=0):
    return Paths.of(np.random.default_rng(seed).choice(STRINGS, count).tolist())


@pytest.mark.parametrize("batch", [1 << 20, 5])
@pytest.mark.parametrize("groups", [1, 3, 40])
def test_members_of_a_group_are_ordered_by_their_bytes(monkeypatch, batch, groups):
    monkeypatch.setattr(path_keys, "_BATCH", batch)
    paths, rng = some(120), np.random.default_rng(1)
    row, group = rng.permutation(120)[:100], np.sort(rng.integers(0, groups, 100))
    order = order_ties(paths, row, group)
    expected = sorted(range(100), key=lambda i: (group[i], paths.bytes(int(row[i])), i))
    assert order.tolist() == expected


def test_ordering_nothing_gives_nothing():
    assert order_ties(Paths.of([]), np.zeros(0, int), np.zeros(0, int)).tolist() == []


@pytest.mark.parametrize("strings", [["b", "a"], ["abcdefgh", "abcdefg"]])
def test_the_last_bytes_of_a_short_column_are_read_alone(strings):
    paths = Paths.of(strings)
    expected = [int.from_bytes(s.encode()[:7].ljust(7, b"\0") + bytes([min(len(s), 7)]), "big") for s in strings]
    assert words(paths, np.arange(2), 0).tolist() == expected


def test_equal_hashes_mean_equal_paths_and_unequal_seeds_unrelated_numbers():
    paths = Paths.of(STRINGS)
    rows = np.arange(len(STRINGS))
    assert len(set(path_hash(paths, rows, 0))) == len(STRINGS)
    assert not set(path_hash(paths, rows, 0)) & set(path_hash(paths, rows, 1))
    again = Paths.of(["pad", *STRINGS[::-1]])
    np.testing.assert_array_equal(path_hash(again, rows + 1, 0), path_hash(paths, rows, 0)[::-1])


def test_pairs_of_paths_are_compared_whole():
    first, second = some(200), some(200, seed=2)
    rows = np.arange(200)
    expected = [a == b for a, b in zip(first, second)]
    assert same_paths(first, rows, second, rows).tolist() == expected and 0 < sum(expected) < 200
