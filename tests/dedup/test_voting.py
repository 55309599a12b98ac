import cv2
import faiss
import numpy as np
import pytest

from dedup import sift, voting
from dedup.options import Options
from dedup.sift import Features
from dedup.threads import one_thread


def features_of(rgb):
    return sift.extract(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), 256, 0.02)


@pytest.fixture(scope="module")
def references(photo):
    return [features_of(photo(seed, 256, 256)) for seed in range(6)]


def votes_of(features):
    columns = [np.concatenate(column) for column in zip(*features)]
    offsets = np.cumsum([0] + [len(f.sizes) for f in features])
    return voting.Votes(offsets, columns[1], columns[2]), columns[3]


def searcher(references, options):
    """Picture -> candidates."""
    votes, descriptors = votes_of(references)
    with one_thread():
        index = voting.build_descriptor_index(descriptors, options)
    return lambda f: votes.candidates(f, *voting.nearest(index, f.descriptors, options), options)


@pytest.mark.parametrize("options", [Options(), Options(exact_below=0)], ids=["exact", "compressed"])
def test_the_source_of_a_copy_comes_first(photo, references, options):
    candidates = searcher(references, options)
    for seed in range(6):
        copy = cv2.resize(photo(seed, 256, 256)[30:220, 20:230], (180, 160), interpolation=cv2.INTER_AREA)
        assert candidates(features_of(copy))[0][:2] == (seed, False)
        assert candidates(features_of(copy[:, ::-1]))[0][:2] == (seed, True)


def test_an_unrelated_picture_scores_far_below_a_copy(photo, references):
    candidates = searcher(references, Options())
    copy = candidates(features_of(photo(3, 256, 256)))
    other = candidates(features_of(photo(77, 256, 256)))
    assert copy[0][2] > 5 * max([c[2] for c in other], default=0)


def one_feature(count, angle=0.0, size=4.0):
    return Features(np.zeros((count, 2), np.float32), np.full(count, size, np.float32),
                    np.full(count, angle, np.float32), np.zeros((count, 128), np.uint8))


def test_score_is_the_smaller_of_the_two_largest_sums_of_two_neighbouring_bins():
    query = one_feature(7)
    turns = np.array([5, 10, 30, 100, 200, 300, 350], np.float32)       # bins 0 0 1 4 8 13 15; 15 and 0 are neighbours
    sizes = 4 * 2 ** np.array([0.1, 0.2, 0.3, 0.6, 0.7, 2.1, 3], np.float32)    # half octaves 0 0 0 1 1 4 6
    votes = voting.Votes(np.array([0, 7]), sizes, turns)
    rows = np.arange(7)
    assert votes.candidates(query, rows, rows, Options()) == [(0, False, 3.0)]
    apart = 4 * 2 ** np.array([-3.9, -2.9, -1.9, 0.1, 1.1, 2.1, 3.1], np.float32)       # no two in neighbouring bins
    votes = voting.Votes(np.array([0, 7]), apart, np.full(7, 1, np.float32))
    assert votes.candidates(query, rows, rows, Options(min_score=1)) == [(0, False, 1.0)]


def test_a_descriptor_votes_once_per_picture_and_less_if_it_hits_many():
    votes = voting.Votes(np.array([0, 8, 16]), np.full(16, 4, np.float32), np.full(16, 1, np.float32))
    query, rows = np.array([0, 0, 0, 1, 1]), np.array([0, 1, 2, 3, 9])
    scores = {c[0]: c[2] for c in votes.candidates(one_feature(2), query, rows, Options(min_score=0.1))}
    assert scores == pytest.approx({0: 1 + 0.5 ** 0.5, 1: 0.5 ** 0.5})


def test_only_the_best_few_above_the_least_score_are_candidates():
    votes = voting.Votes(np.arange(0, 33, 4), np.full(32, 4, np.float32), np.full(32, 1, np.float32))
    rows = np.concatenate([np.arange(4 * p, 4 * p + n) for p, n in enumerate([1, 4, 2, 3, 4, 1, 3, 4])])
    query = np.arange(len(rows))
    found = votes.candidates(one_feature(len(rows)), query, rows, Options())
    assert [(c[0], c[2]) for c in found] == [(1, 4), (4, 4), (7, 4), (3, 3), (6, 3)]


def test_nothing_close_gives_no_candidate(references):
    noise = np.random.default_rng(0).integers(0, 256, (20, 128), dtype=np.uint8)
    features = one_feature(20)._replace(descriptors=noise)
    assert searcher(references, Options(max_distance=0.01))(features) == []


def test_large_indexes_are_compressed_and_equal_whatever_builds_them(references, tmp_path):
    descriptors = votes_of(references)[1]
    np.save(tmp_path / "descriptors.npy", descriptors)
    mapped = np.load(tmp_path / "descriptors.npy", mmap_mode="r")
    before = faiss.omp_get_max_threads()
    built = []
    for threads, rows in ((1, descriptors), (2, descriptors), (1, mapped)):
        faiss.omp_set_num_threads(threads)
        built.append(voting.build_descriptor_index(rows, Options(exact_below=100)))
    faiss.omp_set_num_threads(before)
    assert "FastScan" in type(built[0]).__name__ and built[0].ntotal == 2 * len(descriptors)
    for other in built[1:]:
        assert np.array_equal(faiss.serialize_index(built[0]), faiss.serialize_index(other))


def test_centres_are_whole_numbers_and_as_many_as_wanted(references):
    sample = sift.rootsift(votes_of(references)[1])
    for lists in (1, 2, 32):
        centres = voting._centroids(sample, lists)
        assert centres.shape == (lists, 128) and np.array_equal(centres, np.round(centres))
    plain = faiss.Kmeans(128, 32, niter=10, seed=1)
    plain.train(sample)
    squared = [faiss.knn(sample, c, 1)[0].mean() for c in (centres, plain.centroids)]
    assert squared[0] < 1.15 * squared[1]


@pytest.mark.parametrize("options", [Options(), Options(exact_below=0)], ids=["exact", "compressed"])
def test_neighbours_do_not_depend_on_what_is_searched_beside(references, options, tmp_path):
    built = voting.build_descriptor_index(votes_of(references)[1], options)
    voting.write_index(built, tmp_path / "index")
    index = faiss.read_index(str(tmp_path / "index"))
    pictures = [f.descriptors for f in references] + [sift.mirror(references[0].descriptors), references[1].descriptors[:1],
                                                      references[2].descriptors[:0], references[3].descriptors[:19]]
    alone = [voting.nearest(index, d, options) for d in pictures]
    assert sum(len(rows) for _, rows in alone) > 1000
    random = np.random.default_rng(0)
    groups = [range(10), range(10)[::-1], [8], [8, 8], [7], []] + [random.integers(0, 10, n) for n in (2, 3, 40)]
    for group in groups:
        together = voting.nearest_of_each(index, [pictures[i] for i in group], options)
        assert len(together) == len(group)
        for i, found in zip(group, together):
            assert all(map(np.array_equal, found, alone[i]))
    rows = pictures[0]
    single = [voting.nearest(index, row[None], options)[1].tolist() for row in rows]
    query, found = alone[0]
    assert single == [found[query == i].tolist() for i in range(len(rows))]


def test_neighbours_within_the_distance_are_those_of_a_plain_search(references):
    descriptors = votes_of(references)[1]
    index = voting.build_descriptor_index(descriptors, Options())
    stored = np.sqrt(np.concatenate([descriptors, sift.mirror(descriptors)]).astype(float))
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    query = descriptors[:10]
    squared = 2 - 2 * stored[:10] @ stored.T
    expected = {(i, j) for i in range(10) for j in np.argsort(squared[i], kind="stable")[:4] if squared[i, j] < 0.3}
    assert set(zip(*voting.nearest(index, query, Options(max_distance=0.3)))) == expected


@pytest.mark.slow
@pytest.mark.parametrize("options", [Options(exact_below=10**6), Options(exact_below=0)], ids=["exact", "compressed"])
def test_an_overlay_that_all_references_wear_does_not_hide_the_source(photo, options):
    def wearing(seed):
        picture = photo(seed, 96, 96)
        picture[48:] = overlay[48:]
        return picture
    overlay = photo(999, 96, 96)
    enlarged = [cv2.resize(wearing(seed), (192, 192), interpolation=cv2.INTER_CUBIC) for seed in range(300)]
    candidates = searcher([features_of(picture) for picture in enlarged], options)
    for seed in range(0, 300, 25):
        copy = cv2.resize(enlarged[seed][5:185, 8:190], (160, 160), interpolation=cv2.INTER_AREA)
        assert (seed, False) in [c[:2] for c in candidates(features_of(copy))]
