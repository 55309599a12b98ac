"""Top-k per class equals its definition, whatever the order of the rows and the way they are read."""
import numpy as np
import pytest

from ssld.curation.selectors import base, options, path_keys, per_class
from ssld.curation.selectors.top_k import top_k
from ssld.data.manifest import Manifest
from ssld.errors import InputError

PREFIXES = ("a/", "a", "", "é/", "日本/", "n01440764/n01440764_", "n01440764/n0144076")


def scored(count, best=1, class_num=5, seed=0, levels=8, absent=0.2):
    """A manifest with few distinct scores, so that ties are common, and paths in random order; some rows have no class."""
    rng = np.random.default_rng(seed)
    classes = np.array([rng.permutation(class_num)[:best] for _ in range(count)], np.int16)
    scores = np.sort(rng.integers(0, levels, (count, best)) / levels, axis=1)[:, ::-1].astype(np.float16)
    gone = rng.random(count) < absent
    classes[gone], scores[gone] = -1, np.nan
    paths = [f"{PREFIXES[name % len(PREFIXES)]}{name}.jpg" for name in rng.permutation(count)]
    return Manifest("root", paths, np.full(count, -1), {"teacher_class": classes, "score": scores})


def by_definition(manifest, k, least=0.0, margin=0.0, without=(), k_of=()):
    """{class: paths in order} by sorting Python tuples."""
    chosen = {}
    for row, path in enumerate(manifest.path):
        scores = [float(score) for score in manifest.columns["score"][row]]
        if path in without or (margin and not scores[0] - scores[1] >= margin):
            continue
        for label, score in zip(manifest.columns["teacher_class"][row].tolist(), scores):
            if label >= 0 and score >= least:
                chosen.setdefault(label, []).append((-score, path.encode()))
    return {label: [path.decode() for _, path in sorted(entries)[:dict(k_of).get(label, k)]]
            for label, entries in chosen.items()}


def as_dict(manifest, selection):
    chosen = {}
    for i in np.lexsort((selection.rank, selection.label)):
        chosen.setdefault(int(selection.label[i]), []).append(manifest.path[int(selection.row[i])])
    return chosen


@pytest.fixture(params=["one block", "many blocks"])
def block_sizes(request, monkeypatch):
    """The same work in one go, and in blocks of a few rows with a reduction after each."""
    if request.param == "many blocks":
        monkeypatch.setattr(base, "_BLOCK", 21)
        monkeypatch.setattr(per_class, "_SLACK", 10)
        monkeypatch.setattr(path_keys, "_BATCH", 7)


@pytest.mark.parametrize("best, k, least, levels", [(1, 7, 0.0, 8), (1, 1000, 0.0, 8), (3, 5, 0.0, 8), (3, 9, 0.4, 8),
                                                    (1, 13, 0.0, 1), (4, 20, 0.0, 2), (5, 1, 0.0, 3), (2, 6, 0.0, 2000)])
def test_it_equals_sorting_by_score_and_path(block_sizes, best, k, least, levels):
    manifest = scored(300, best, levels=levels)
    assert as_dict(manifest, top_k(manifest, k, least, multi="repeat")) == by_definition(manifest, k, least)


def test_the_ranks_of_a_class_count_from_zero_and_its_scores_fall():
    manifest = scored(300, best=3)
    selection = top_k(manifest, 20, multi="repeat")
    for label in range(5):
        mine = np.flatnonzero(selection.label == label)
        mine = mine[np.argsort(selection.rank[mine])]
        assert selection.rank[mine].tolist() == list(range(20)) and (np.diff(selection.score[mine]) <= 0).all()
    assert (np.diff(selection.row) >= 0).all()


def test_the_order_of_rows_does_not_matter(block_sizes):
    manifest = scored(300, best=3, levels=2)
    expected = as_dict(manifest, top_k(manifest, 14))
    for seed in range(5):
        shuffled = manifest.take(np.random.default_rng(seed).permutation(300))
        assert as_dict(shuffled, top_k(shuffled, 14)) == expected


@pytest.mark.parametrize("multi", ["once", "repeat"])
def test_top_k_of_the_top_k_of_parts_is_top_k_of_all(multi):
    manifest, k = scored(400, best=2, levels=3), 6
    rows = np.concatenate([part[np.unique(top_k(manifest.take(part), k).row)] for part in np.array_split(np.arange(400), 7)])
    kept = manifest.take(rows)
    assert len(rows) < 400
    assert as_dict(kept, top_k(kept, k, multi=multi)) == as_dict(manifest, top_k(manifest, k, multi=multi))


def test_columns_on_disk_give_the_same_as_columns_in_memory(block_sizes, tmp_path):
    manifest = scored(200, best=3)
    for name, column in manifest.columns.items():
        np.save(tmp_path / f"{name}.npy", column)
    mapped = manifest.with_columns(**{name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in manifest.columns})
    for mine, other in zip(top_k(mapped, 9), top_k(manifest, 9)):
        np.testing.assert_array_equal(mine, other)
        assert type(mine) is np.ndarray


def test_an_image_of_several_classes_is_listed_once_for_its_highest_score():
    manifest = scored(60, best=3, absent=0)
    once, repeat = top_k(manifest, 10), top_k(manifest, 10, multi="repeat")
    assert len(np.unique(once.row)) == len(once.row) < len(repeat.row) and set(once.row) == set(repeat.row)
    for row, label, score, rank in zip(*once):
        mine = repeat.row == row
        best = repeat.score[mine] == repeat.score[mine].max()
        assert label == repeat.label[mine][best].min()
        assert (score, rank) == (repeat.score[mine][best][0], repeat.rank[mine & (repeat.label == label)][0])


def test_equal_scores_go_to_the_smaller_path():
    columns = {"teacher_class": np.zeros((4, 1), int), "score": np.full((4, 1), 0.5, np.float16)}
    manifest = Manifest("root", ["d", "b", "c", "a"], [-1] * 4, columns)
    assert [manifest.path[int(r)] for r in top_k(manifest, 2).row] == ["b", "a"]


def test_rows_without_a_class_are_never_chosen():
    manifest = scored(100, absent=1.0)
    assert all(len(column) == 0 for column in top_k(manifest, 5))


def test_a_row_may_have_fewer_classes_than_the_others():
    columns = {"teacher_class": np.array([[2, -1], [1, 2]]), "score": np.array([[0.9, 0], [0.7, 0.2]], np.float16)}
    selection = top_k(Manifest("root", ["a", "b"], [-1] * 2, columns), 5, multi="repeat")
    assert list(zip(*(column.tolist() for column in (selection.row, selection.label)))) == [(0, 2), (1, 1), (1, 2)]


@pytest.mark.parametrize("least, kept", [(0.4, 0), (float(np.float16(0.4)), 1), (0.0, 1), (1.0, 0)])
def test_the_least_score_is_compared_with_the_score_as_stored(least, kept):
    columns = {"teacher_class": np.zeros((1, 1), int), "score": np.full((1, 1), 0.4, np.float16)}      # 0.39990
    assert len(top_k(Manifest("root", ["a"], [-1], columns), 1, least).row) == kept


@pytest.mark.parametrize("margin", [0.125, 0.3, 1.0])
def test_images_with_a_close_second_class_are_left_out(block_sizes, margin):
    manifest = scored(300, best=3)
    chosen = top_k(manifest, 8, multi="repeat", min_margin=margin)
    assert as_dict(manifest, chosen) == by_definition(manifest, 8, margin=margin)


def test_a_margin_needs_a_second_class():
    with pytest.raises(InputError, match="Score.top to 2"):
        top_k(scored(5), 2, min_margin=0.1)


def test_classes_named_in_a_file_have_their_own_k(block_sizes, tmp_path):
    (tmp_path / "k.txt").write_text("3 2\n\n0 50\n")
    manifest = scored(300, best=2)
    chosen = top_k(manifest, 7, multi="repeat", k_file=str(tmp_path / "k.txt"))
    assert as_dict(manifest, chosen) == by_definition(manifest, 7, k_of={3: 2, 0: 50}.items())


@pytest.mark.parametrize("text, message", [
    ("1 5\n2\n", r"k.txt:2: '2' is not"), ("1 five\n", r"k.txt:1: '1 five'"), ("1 0\n", "k must be at least 1"),
    ("-1 5\n", "k.txt:1"), ("1 2.5\n", "k.txt:1"), ("300000 5\n", "below 262144"),
    ("7 5\n8 5\n7 6\n", "k.txt:3: class 7 .* line 1")])
def test_a_faulty_k_file_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "k.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        top_k(scored(5), 2, k_file=str(tmp_path / "k.txt"))


def test_a_missing_k_file_is_named(tmp_path):
    with pytest.raises(InputError, match="k.txt cannot be read"):
        top_k(scored(5), 2, k_file=str(tmp_path / "k.txt"))


def test_excluded_paths_are_not_chosen_and_others_move_up(block_sizes, tmp_path, capsys):
    manifest = scored(300, best=2)
    without = set(list(manifest.path)[::3])
    (tmp_path / "not.txt").write_text("".join(f"{path} 7\n" for path in without) + "elsewhere.jpg\n")
    chosen = top_k(manifest, 8, multi="repeat", exclude=str(tmp_path / "not.txt"))
    assert as_dict(manifest, chosen) == by_definition(manifest, 8, without=without)
    assert "1 of the 101 paths" in capsys.readouterr().err


def test_paths_of_the_same_hash_as_an_excluded_one_may_be_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(options, "path_hash", lambda paths, row, seed: np.zeros(len(row), np.uint64))
    manifest = scored(50, absent=0)
    (tmp_path / "not.txt").write_text(f"{manifest.path[9]}\n")
    assert top_k(manifest, 50, exclude=str(tmp_path / "not.txt")).row.tolist() == [row for row in range(50) if row != 9]


def test_an_exclude_list_of_another_root_is_refused(tmp_path):
    (tmp_path / "not.txt").write_text("root/a.jpg\nroot/b.jpg\n")
    with pytest.raises(InputError, match="none of its 2 paths, such as 'root/a.jpg'"):
        top_k(scored(5), 2, exclude=str(tmp_path / "not.txt"))


@pytest.mark.parametrize("k", [0, -1, 2.5, "3", True])
def test_a_k_below_one_is_refused(k):
    with pytest.raises(InputError, match="at least 1"):
        top_k(scored(5), k)


@pytest.mark.parametrize("given, message", [({"min_score": 1.5}, "min_score"), ({"min_margin": -1}, "min_margin"),
                                              ({"multi": "twice"}, "multi cannot be 'twice'")])
def test_an_option_out_of_range_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        top_k(scored(5), 2, **given)


@pytest.mark.parametrize("score", [np.nan, 1.5, -0.1, np.inf])
def test_a_score_that_is_no_probability_is_refused(block_sizes, score):
    manifest = scored(30, absent=0)
    manifest.columns["score"][23, 0] = score
    with pytest.raises(InputError, match=manifest.path[23]):
        top_k(manifest, 2)


@pytest.mark.parametrize("columns", [{"score": np.zeros((5, 1))}, {"score": np.zeros((5, 2), np.float16)},
                                     {"teacher_class": np.zeros((5, 1))}, {"teacher_class": np.zeros(5, int)}])
def test_columns_of_another_kind_are_refused(columns):
    with pytest.raises(InputError, match="expected the columns"):
        top_k(scored(5).with_columns(**columns), 2)


def test_a_list_without_scores_is_refused():
    with pytest.raises(InputError, match="no column 'teacher_class'"):
        top_k(Manifest("root", ["a"], [-1]), 2)


def test_a_class_number_too_large_to_be_sorted_is_refused():
    manifest = scored(5, absent=0).with_columns(teacher_class=np.full((5, 1), 1 << 18))
    with pytest.raises(InputError, match="class 262144"):
        top_k(manifest, 2)
