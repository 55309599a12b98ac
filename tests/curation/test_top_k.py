"""Top-k per class equals its definition, whatever the order of the rows."""
import numpy as np
import pytest

from ssld.curation.selectors import SELECTORS
from ssld.curation.selectors.top_k import top_k
from ssld.data.manifest import Manifest
from ssld.errors import InputError


def scored(count, best=1, class_num=5, seed=0, levels=8):
    """A manifest with few distinct scores, so that ties are common, and paths in random order."""
    rng = np.random.default_rng(seed)
    classes = np.array([rng.permutation(class_num)[:best] for _ in range(count)])
    scores = np.sort(rng.integers(0, levels, (count, best)) / levels, axis=1)[:, ::-1].astype(np.float16)
    paths = [f"{name:05d}.jpg" for name in rng.permutation(count)]
    return Manifest("root", paths, np.full(count, -1), {"teacher_class": classes, "score": scores})


def by_definition(manifest, k, min_score=0.0):
    """{class: paths in order} by sorting Python tuples."""
    chosen = {}
    for row in range(len(manifest)):
        for label, score in zip(manifest.columns["teacher_class"][row], manifest.columns["score"][row]):
            if score >= min_score:
                chosen.setdefault(int(label), []).append((-float(score), manifest.path[row]))
    return {label: [path for _, path in sorted(entries)[:k]] for label, entries in chosen.items()}


def as_dict(manifest, selection):
    order = np.lexsort((selection.rank, selection.label))
    chosen = {}
    for i in order:
        chosen.setdefault(int(selection.label[i]), []).append(manifest.path[int(selection.row[i])])
    return chosen


@pytest.mark.parametrize("best, k, min_score", [(1, 7, 0.0), (1, 1000, 0.0), (3, 5, 0.0), (3, 9, 0.4)])
def test_it_equals_sorting_by_score_and_path(best, k, min_score):
    manifest = scored(200, best)
    assert as_dict(manifest, top_k(manifest, k, min_score, multi="repeat")) == by_definition(manifest, k, min_score)


def test_the_order_of_rows_does_not_matter():
    manifest = scored(150, best=3)
    shuffled = manifest.take(np.random.default_rng(1).permutation(150))
    assert as_dict(manifest, top_k(manifest, 4)) == as_dict(shuffled, top_k(shuffled, 4))


def test_top_k_of_the_top_k_of_shards_is_top_k_of_all():
    manifest, k = scored(200), 6
    rows = np.concatenate([part[top_k(manifest.take(part), k).row] for part in np.array_split(np.arange(200), 7)])
    kept = manifest.take(rows)
    assert as_dict(kept, top_k(kept, k)) == as_dict(manifest, top_k(manifest, k))


def test_an_image_of_several_classes_is_listed_once_for_its_highest_score():
    manifest = scored(60, best=3)
    once, repeat = top_k(manifest, 10), top_k(manifest, 10, multi="repeat")
    assert len(np.unique(once.row)) == len(once.row) and set(once.row) == set(repeat.row)
    for row, label, score in zip(once.row, once.label, once.score):
        mine = repeat.row == row
        assert score == repeat.score[mine].max() and label in repeat.label[mine]


def test_equal_scores_go_to_the_smaller_path():
    columns = {"teacher_class": np.zeros((4, 1), int), "score": np.full((4, 1), 0.5, np.float16)}
    manifest = Manifest("root", ["d", "b", "c", "a"], [-1] * 4, columns)
    assert [manifest.path[int(r)] for r in top_k(manifest, 2).row] == ["b", "a"]


@pytest.mark.parametrize("k", [0, -1, 2.5, "3"])
def test_a_k_below_one_is_refused(k):
    with pytest.raises(InputError, match="at least 1"):
        top_k(scored(5), k)


@pytest.mark.parametrize("score", [np.nan, 1.5, -0.1])
def test_a_score_that_is_no_probability_is_refused(score):
    manifest = scored(5)
    manifest.columns["score"][3, 0] = score
    with pytest.raises(InputError, match=manifest.path[3]):
        top_k(manifest, 2)


def test_a_random_draw_depends_on_the_paths_and_not_on_their_order():
    manifest = scored(100)
    shuffled = manifest.take(np.random.default_rng(1).permutation(100))
    draw = SELECTORS.get("random", "test")
    first, second = (sorted(m.path.take(draw(m, count=20, seed=4).row)) for m in (manifest, shuffled))
    assert first == second and len(first) == 20
    assert first != sorted(manifest.path.take(draw(manifest, count=20, seed=5).row))
    assert len(draw(manifest, count=500).row) == 100
