import numpy as np
import pytest

from dedup.options import Options
from dedup.paths import Paths
from dedup.sift import mirror
from dedup.within import neighbours
from dedup.within.work import GroupOptions, open_work, run_parts
from dedup.workers.executors import open_executor

COUNT, KEYPOINTS = 120, 12


def surveyed(folder, options=None, active=None, **group_options):
    """A plan whose survey tells of random pictures: every fourth row is like the row before it, turned and enlarged."""
    random = np.random.default_rng(0)
    descriptors = random.gamma(0.5, 40, (COUNT, KEYPOINTS, 128)).clip(0, 255).astype(np.uint8)
    sizes = np.exp2(random.uniform(1, 4, (COUNT, KEYPOINTS))).astype(np.float32)
    angles = random.uniform(0, 360, (COUNT, KEYPOINTS)).astype(np.float32)
    embedding = random.normal(size=(COUNT, 100)).astype(np.float32)
    for row in range(3, COUNT, 4):
        descriptors[row] = descriptors[row - 1] if row % 8 == 3 else mirror(descriptors[row - 1])
        sizes[row] = 2 * sizes[row - 1]
        angles[row] = (angles[row - 1] + 30) % 360 if row % 8 == 3 else (180 - angles[row - 1]) % 360
        embedding[row] = 3 * embedding[row - 1] + random.normal(size=100)
    embedding /= np.linalg.norm(embedding, axis=1, keepdims=True)
    work = open_work(folder, "", Paths.of([f"{row:03d}.png" for row in range(COUNT)]), np.zeros(COUNT, bool),
                     options or Options(), GroupOptions(**group_options))
    work.write("active", active=np.ones(COUNT, bool) if active is None else active)
    for part in range(work.parts):
        rows = work.rows(part)
        work.write("survey", part, offsets=KEYPOINTS * np.arange(len(rows) + 1), sizes=sizes[rows].ravel(),
                   angles=angles[rows].ravel(), descriptors=descriptors[rows].reshape(-1, 128),
                   embedding=embedding[rows].astype(np.float16))
    return work


def voted(work):
    """Pairs of all blocks and parts."""
    found = {}
    tasks = [(block, part) for block in range(neighbours.blocks(work))
             for part in range(neighbours.block_parts(work, block).start, work.parts)]
    for block in range(neighbours.blocks(work)):
        neighbours.index_block(work, block)
    for number, (block, part) in enumerate(tasks):
        neighbours.sift_part(work, number, block, part)
        found.update({(int(a), int(b)): s for a, b, s in zip(*work.read("sift", number, "a", "b", "strength"))})
    return found


PLANTED = {(row - 1, row) for row in range(3, COUNT, 4)}


@pytest.mark.parametrize("exact_below", [0, 20_000])
def test_pictures_that_share_details_are_paired_turned_or_mirrored(tmp_path, exact_below):
    found = voted(surveyed(tmp_path, Options(exact_below=exact_below), min_score=6))
    assert {tuple(sorted(pair)) for pair in found} == PLANTED
    assert all(a != b and score >= 6 for (a, b), score in found.items())


def test_every_pair_of_blocks_is_compared(tmp_path):
    work = surveyed(tmp_path, block=32, min_score=6)
    assert neighbours.blocks(work) == work.parts == 4
    assert {tuple(sorted(pair)) for pair in voted(work)} == PLANTED


def test_pictures_put_aside_take_no_part(tmp_path):
    active = np.arange(COUNT) % 8 != 3
    found = voted(surveyed(tmp_path, min_score=6, active=active))
    assert {tuple(sorted(pair)) for pair in found} == {pair for pair in PLANTED if active[pair[1]]}


def test_a_pool_without_key_points_has_no_pairs(tmp_path):
    work = surveyed(tmp_path)
    for part in range(work.parts):
        work.write("survey", part, offsets=np.zeros(len(work.rows(part)) + 1, np.int64), sizes=np.zeros(0, np.float32),
                   angles=np.zeros(0, np.float32), descriptors=np.zeros((0, 128), np.uint8))
    assert voted(work) == {}


def near(work, executor=None):
    """Pairs of all parts, with their cosines."""
    found = {}
    run_parts(work, "embeddings", neighbours.index_embeddings, [()], executor, None)
    for part in range(run_parts(work, "feature", neighbours.feature_part, [()] * work.parts, executor, None)):
        found.update({(int(a), int(b)): s for a, b, s in zip(*work.read("feature", part, "a", "b", "strength"))})
    return found


def test_near_embeddings_are_paired_from_both_sides(tmp_path):
    work = surveyed(tmp_path, sources=("feature",))
    found = near(work)
    assert set(found) == PLANTED | {(b, a) for a, b in PLANTED}
    vectors = work.column("survey", "embedding").astype(np.float64)
    assert all(abs(cosine - vectors[a] @ vectors[b]) < 1e-6 for (a, b), cosine in found.items())


def test_the_nearest_embeddings_are_kept_when_there_are_many(tmp_path):
    work = surveyed(tmp_path, Options(t_cand=-1.0), sources=("feature",), near=3)
    vectors = work.column("survey", "embedding").astype(np.float64)
    cosines = vectors @ vectors.T - 3 * np.eye(COUNT)
    assert set(near(work)) == {(row, int(other)) for row in range(COUNT) for other in np.argsort(-cosines[row])[:3]}


def test_embeddings_of_pictures_put_aside_take_no_part(tmp_path):
    active = np.arange(COUNT) % 8 != 3
    found = near(surveyed(tmp_path / "some", sources=("feature",), active=active))
    assert {tuple(sorted(pair)) for pair in found} == {pair for pair in PLANTED if active[pair[1]]}
    assert near(surveyed(tmp_path / "none", sources=("feature",), active=np.zeros(COUNT, bool))) == {}


def many(folder):
    """A plan over more embeddings than are searched exactly: the second half is like the first."""
    random = np.random.default_rng(0)
    half, count = 700, 1400
    vectors = random.normal(size=(count, 48))
    vectors[half:] = vectors[:half] + 0.6 * random.normal(size=(half, 48))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    work = open_work(folder, "", Paths.of(map("{:04d}".format, range(count))), np.zeros(count, bool), Options(t_cand=0.8),
                     GroupOptions(sources=("feature",), exact_below=1000))
    work.write("active", active=np.ones(count, bool))
    for part in range(work.parts):
        work.write("survey", part, embedding=vectors[work.rows(part)].astype(np.float16))
    return work


def test_many_embeddings_are_compressed_and_judged_by_their_exact_cosines(tmp_path):
    work = many(tmp_path)
    found = near(work)
    vectors = work.column("survey", "embedding").astype(np.float64)
    cosines = vectors @ vectors.T - 3 * np.eye(len(vectors))
    wanted = set(zip(*(places.tolist() for places in np.nonzero(cosines >= 0.8))))
    assert len(wanted) > 1000 and set(found) <= wanted and len(found) > 0.99 * len(wanted)
    assert all(abs(cosine - cosines[pair]) < 1e-6 for pair, cosine in found.items())
    assert work.file("embeddings").with_suffix(".faiss").stat().st_size < vectors.size * 4


@pytest.mark.slow
def test_three_processes_find_the_near_embeddings_that_one_finds(tmp_path):
    with open_executor(workers=3) as executor:
        assert near(many(tmp_path / "three"), executor) == near(many(tmp_path / "one"))
