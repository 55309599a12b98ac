import sys

import numpy as np
import pytest

from dedup.errors import InputError
from dedup.network.embedding import all_cosines, embed_all, load_embed


def test_rows_have_unit_length_and_keep_the_order_of_the_files():
    asked = []

    def embed(files):
        asked.append(len(files))
        return [[float(name), 1.0] for name in files]

    rows = embed_all(embed, [str(n) for n in range(150)])
    expected = np.array([[n, 1.0] for n in range(150)]) / np.hypot(np.arange(150), 1)[:, None]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    assert rows.dtype == np.float32 and sum(asked) == 150 and max(asked) <= 64


def test_a_row_of_zeros_stays_one_and_resembles_nothing():
    np.testing.assert_array_equal(embed_all(lambda files: np.zeros((len(files), 3)), ["a"]), np.zeros((1, 3)))


@pytest.mark.parametrize("embed, files", [(None, ["a", "b"]), (lambda files: 1 / 0, [])])
def test_without_a_network_or_files_there_are_no_columns(embed, files):
    assert embed_all(embed, files).shape == (len(files), 0)


@pytest.mark.parametrize("answer", [np.zeros((1, 3)), np.zeros(2), np.zeros((2, 3, 1))])
def test_anything_but_one_row_per_file_is_refused(answer):
    with pytest.raises(InputError, match=r"for 2 files; expected one row"):
        embed_all(lambda files: answer, ["a", "b"])


def test_numbers_that_are_not_finite_are_refused_with_the_file():
    with pytest.raises(InputError, match="numbers for b that are not finite"):
        embed_all(lambda files: np.array([[1.0], [np.nan]]), ["a", "b"])


def unit(count, seed, width=300):
    rows = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    rows[1::3] = rows[::3][:len(rows[1::3])]            # every third row comes twice
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("threshold, limit", [(0.05, 5), (0.05, None), (-1.0, 7), (2.0, 5), (-1.0, None), (0.05, 500)])
def test_the_best_references_are_those_of_a_plain_sort(threshold, limit):
    references, vectors = unit(200, 0), unit(6, 1)
    for vector, cosines in zip(vectors, all_cosines(vectors, references)):
        exact = [round(float(sum(a * b for a, b in zip(map(float, row), map(float, vector)))), 6) for row in references]
        wanted = sorted((row for row in range(200) if exact[row] >= threshold), key=lambda row: (-exact[row], row))[:limit]
        assert [row for row, _ in cosines.above(threshold, limit)] == wanted
        assert [cosine for _, cosine in cosines.above(threshold, limit)] == pytest.approx([exact[r] for r in wanted], abs=1e-9)
        assert cosines.at(17) == pytest.approx(exact[17], abs=1e-9)


def test_cosines_do_not_depend_on_what_is_compared_beside():
    references, vectors = unit(1003, 0, 512), unit(64, 1, 512)
    together = [c.above(0.0, 20) for c in all_cosines(vectors, references)]
    apart = [all_cosines(vectors[i:i + 1], references)[0].above(0.0, 20) for i in range(64)]
    turned = [c.above(0.0, 20) for c in all_cosines(vectors[::-1], references)][::-1]
    assert together == apart == turned


def test_of_no_pictures_there_are_no_cosines():
    assert all_cosines(embed_all(lambda files: 1 / 0, []), unit(5, 0)) == []


def test_a_threshold_met_exactly_counts():
    (cosines,) = all_cosines(np.float32([[0.6, 0.8]]), np.float32([[1, 0], [0, 1]]))
    assert cosines.above(0.8) == [(1, 0.8)] and cosines.above(0.6) == [(1, 0.8), (0, 0.6)] and cosines.above(0.800001) == []


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes an importable module and forgets it afterwards."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name
    return write


def test_a_function_is_found_by_its_name(module):
    name = module("embeds_of_a_test", "def embed(files):\n    return [[1.0]] * len(files)\n\n\nclass Kept:\n    call = embed\n")
    assert load_embed(f"{name}:embed")(["a", "b"]) == [[1.0], [1.0]]
    assert load_embed(f"{name}:Kept.call")(["a"]) == [[1.0]]


@pytest.mark.parametrize("name", ["embed", ":embed", "embeds:", ""])
def test_a_name_without_module_or_function_is_refused(name):
    with pytest.raises(InputError, match="names no embed function. Expected package.module:name"):
        load_embed(name)


@pytest.mark.parametrize("text, wanted, message", [
    (None, "embed", r"cannot be imported \(ModuleNotFoundError: .*PYTHONPATH"),
    ("import no_such_module_at_all", "embed", r"cannot be imported \(ModuleNotFoundError: No module named 'no_such"),
    ("1 / 0", "embed", r"cannot be imported \(ZeroDivisionError"),
    ("x = 1", "embed", "has no attribute 'embed'"),
    ("embed = 3", "embed", "is a int, not a function"),
    ("class Embed:\n    pass", "Embed", "is a class, not a function")])
def test_what_cannot_be_used_is_refused_with_the_reason(module, text, wanted, message):
    name = "no_such_module_of_a_test" if text is None else module("faulty_module_of_a_test", text)
    with pytest.raises(InputError, match=message):
        load_embed(f"{name}:{wanted}")
