import hashlib

import numpy as np
import pytest

from dedup import paths
from dedup.paths import Paths, byte_places


def random_strings(seed, count=600):
    """Strings of every length up to 40 that often agree in their first bytes, with repetitions and NUL bytes."""
    random = np.random.default_rng(seed)
    starts = ["", "n01440764/n01440764_", "größe/日本", "a\0", "aaaaaaaa", "aaaaaaaaaaaaaaaa"]
    return [starts[random.integers(len(starts))] + "".join("a\0bZé"[i] for i in random.integers(0, 5, random.integers(0, 9)))
            for _ in range(count)]


@pytest.fixture(params=[1, 2, 3])
def strings(request):
    return random_strings(request.param)


@pytest.fixture(params=[7, 1 << 18])
def rows_at_once(request, monkeypatch):
    monkeypatch.setattr(paths, "_ROWS", request.param)


def test_a_column_behaves_like_a_list_of_strings():
    column = Paths.of(["a", "", "größe", "d"])
    assert (len(column), column[2], list(column[1:3])) == (4, "größe", ["", "größe"])
    assert list(column.take(np.array([True, False, False, True]))) == ["a", "d"]
    assert list(column.take(np.array([3, 0, 0]))) == ["d", "a", "a"]
    assert column == ["a", "", "größe", "d"]
    assert column != ["a"]
    assert list(Paths.concatenate([column[:1], Paths.of([]), column[3:]])) == ["a", "d"]
    assert list(Paths.of([])) == list(Paths.concatenate([])) == []


@pytest.mark.parametrize("texts", [[], [""], ["a"], ["", ""], ["a", "b"]])
def test_columns_shorter_than_a_word_are_compared_too(texts):
    column = Paths.of(texts)
    assert column.first_rows().tolist() == [texts.index(t) for t in texts]
    assert column.argsort().tolist() == sorted(range(len(texts)), key=texts.__getitem__)
    assert b"".join(column.text()) == b"".join(t.encode() + b"\n" for t in texts)
    assert column.isin(Paths.of([])).tolist() == [False] * len(texts)


def test_the_first_of_equal_rows_is_found(strings, rows_at_once):
    seen: dict = {}
    expected = [seen.setdefault(s, row) for row, s in enumerate(strings)]
    column = Paths.of(strings)
    assert column.first_rows().tolist() == expected
    assert column.first_occurrences().tolist() == [row == first for row, first in enumerate(expected)]


@pytest.mark.parametrize("bits", [0, 3])
def test_different_strings_of_the_same_hash_are_not_taken_for_equal(strings, bits, monkeypatch):
    hashes = Paths._hashes
    monkeypatch.setattr(Paths, "_hashes", lambda self: hashes(self) & np.uint64((1 << bits) - 1))
    assert Paths.of(strings).first_rows().tolist() == [strings.index(s) for s in strings]


def test_rows_of_another_column_are_recognised(strings, rows_at_once):
    column, other = Paths.of(strings), Paths.of(strings[::3] + ["elsewhere"])
    assert column.isin(other[100:200]).tolist() == [s in set(list(other)[100:200]) for s in strings]
    assert other.isin(column).tolist() == [True] * (len(other) - 1) + [False]


def test_rows_are_ordered_by_their_bytes_and_equal_ones_stay_in_their_order(strings):
    column = Paths.of(strings).take(np.random.default_rng(0).permutation(len(strings)))
    expected = sorted(range(len(column)), key=column.bytes)
    assert column.argsort().tolist() == expected


def test_the_text_of_a_column_is_that_of_a_list_file(strings, rows_at_once):
    column = Paths.of(strings)
    rows = np.random.default_rng(0).permutation(len(strings))
    text = b"".join(strings[row].encode() + b"\n" for row in rows)
    assert b"".join(column.take(rows).text()) == text
    assert column.take(rows).sha256() == hashlib.sha256(text).hexdigest()


def test_rows_that_hold_a_character_are_found_and_others_beside_it_are_not():
    column = Paths.of(["a\tb", "c", "\t", "", "d\re", "f"])
    assert column.holding(b"\t\r").tolist() == [True, False, True, False, True, False]
    assert column.take(np.array([1, 5, 0])).holding(b"\t").tolist() == [False, False, True]


def test_bytes_that_are_no_utf8_are_found(rows_at_once):
    column = Paths.of(["ä"] * 9 + ["\udcff"] + ["b"] * 9)
    assert np.flatnonzero(~column.is_utf8()).tolist() == [9]


def test_places_of_bytes_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr(paths, "_BYTES", 4)
    blob = np.frombuffer(b"a,b;c,,d;", np.uint8)
    assert byte_places(blob, b",;").tolist() == [1, 3, 5, 6, 8]
